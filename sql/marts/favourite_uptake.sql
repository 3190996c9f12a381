-- question: do clients take up favourite products?
-- grain: day, without gaps from the first offer to the last day known
-- formula: of the offers made on the day: confirmed so far, missed (not confirmed, and the term to
--   confirm has passed by the end of the last day known), the hours from offer to confirmation. active:
--   offers of any day, confirmed by the day and in effect at its end, by their dates alone: that the
--   source marks an offer as inactive has no date, so mart.client_360 leaves it out and past days do
--   not. Slots: each client's newest numbers by the day; null before the first reading. A retired client
--   whose cards belong to another client has none from the first reading after that on: the other
--   client's numbers are of both.
create materialized view mart.favourite_uptake as
with offers as (
    select
        favourite_offers.offer_date,
        favourite_offers.is_confirmed is true as is_confirmed,
        favourite_offers.is_confirmed is not true
        and (favourite_offers.confirm_until at time zone parameters.timezone)
        <= (as_of.favourites_day + 1)::timestamp as is_missed,
        extract(epoch from favourite_offers.confirmed_at - favourite_offers.offered_at) / 3600
            as lag_hours,
        (favourite_offers.confirmed_at at time zone parameters.timezone)::date as confirmed_date,
        (favourite_offers.active_until at time zone parameters.timezone)::date as active_until_date
    from core.favourite_offers
    cross join mart.parameters
    cross join mart.as_of
    where
        favourite_offers.deleted_at is null
        and favourite_offers.offer_date >= mart.first_plausible_day()
        and favourite_offers.offer_date <= as_of.favourites_day
),

days as (
    select series::date as day
    from
        mart.as_of,
        generate_series(
            (select min(offer_date) from offers)::timestamp,
            as_of.favourites_day::timestamp,
            interval '1 day'
        ) as series
),

made as (
    select
        offer_date as day,
        count(*) as offered,
        count(*) filter (where is_confirmed) as confirmed,
        count(*) filter (where is_missed) as missed,
        count(lag_hours) filter (where is_confirmed) as timed_confirmations,
        round(avg(lag_hours) filter (where is_confirmed), 2) as confirmation_lag_hours
    from offers
    group by offer_date
),

effects as (
    select confirmed_date as day, 1 as change
    from offers
    where is_confirmed and coalesce(active_until_date, 'infinity') > confirmed_date
    union all
    select active_until_date as day, -1 as change
    from offers
    where is_confirmed and active_until_date > confirmed_date
),

numbers as (
    select
        client_id,
        snapshot_date as day,
        coalesce(now_link_goods, 0) as used,
        coalesce(max_link_goods, 0) as open,
        false as is_retired
    from core.favourite_stats
    where deleted_at is null
    union all
    select
        retired.client_id,
        min(readings.last_day) as day,
        0 as used,
        0 as open,
        true as is_retired
    from sync.retired_clients as retired
    inner join mart.readings
        on readings.feed = 'favourites' and readings.known_at >= retired.retired_at
    where retired.current_client_id is not null
    group by retired.client_id
),

slots as (
    select
        day,
        used - coalesce(lag(used) over steps, 0) as used,
        open - coalesce(lag(open) over steps, 0) as open
    from numbers
    window steps as (partition by client_id order by day, is_retired)
),

changes as (
    select day, change as active, 0 as used, 0 as open from effects
    union all
    select day, 0 as active, used, open from slots
    union all
    select day, 0 as active, 0 as used, 0 as open from days
),

running as (
    select
        day,
        sum(sum(active)) over (order by day) as active,
        sum(sum(used)) over (order by day) as slots_used,
        sum(sum(open)) over (order by day) as slots_open
    from changes
    group by day
)

select
    running.day,
    coalesce(made.offered, 0) as offered,
    coalesce(made.confirmed, 0) as confirmed,
    coalesce(made.missed, 0) as missed,
    running.active::bigint as active,
    coalesce(made.timed_confirmations, 0) as timed_confirmations,
    made.confirmation_lag_hours,
    case when running.day >= read.first_day then running.slots_used end::bigint as slots_used,
    case when running.day >= read.first_day then running.slots_open end::bigint as slots,
    round(running.slots_used::numeric / nullif(running.slots_open, 0), 4) as slots_used_share
from running
inner join days on days.day = running.day
cross join (select min(day) as first_day from slots) as read
left join made on made.day = running.day;

create unique index on mart.favourite_uptake (day);

comment on materialized view mart.favourite_uptake is 'how favourite products are taken up. Grain: day';
comment on column mart.favourite_uptake.day is 'business day';
comment on column mart.favourite_uptake.offered is 'offers made on the day';
comment on column mart.favourite_uptake.confirmed is 'of them, confirmed so far';
comment on column mart.favourite_uptake.missed is 'of them, not confirmed in time';
comment on column mart.favourite_uptake.active is 'confirmed offers of any day in effect at the end of the day, by their dates; also those marked as inactive since';
comment on column mart.favourite_uptake.timed_confirmations is 'of the confirmed, those for which the times of offer and confirmation are known';
comment on column mart.favourite_uptake.confirmation_lag_hours is 'average hours from offer to confirmation, over timed_confirmations: weight it with them over several days';
comment on column mart.favourite_uptake.slots_used is 'goods that clients have chosen at the time, by their newest numbers by the day, without retired clients whose cards belong to another; null before the first reading';
comment on column mart.favourite_uptake.slots is 'goods that they might choose; null before the first reading';
comment on column mart.favourite_uptake.slots_used_share is 'slots used / slots';
