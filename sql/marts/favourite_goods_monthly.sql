-- question: which goods are the favourites?
-- grain: good x month of confirmation
-- formula: a client chose a good in a month when an offer that lists it was confirmed in that month
--   and the good is among the client's chosen ones: the source dates offers, and counts choices, but
--   never says which offer a choice came from. Still active: such an offer is in effect at the end of
--   the last day known, the good in it too. Rank 1 has the most clients; equal counts share a rank.
create materialized view mart.favourite_goods_monthly as
with choices as (
    select
        favourite_goods.list_data_id,
        date_trunc('month', favourite_offers.confirmed_at at time zone parameters.timezone)::date
            as month,
        favourite_offers.client_id,
        bool_or(
            favourite_offers.is_inactive is not true
            and favourite_goods.is_inactive is not true
            and (
                favourite_offers.active_until is null
                or (favourite_offers.active_until at time zone parameters.timezone)::date
                > as_of.favourites_day
            )
        ) as is_still_active
    from core.favourite_offers
    cross join mart.parameters
    cross join mart.as_of
    inner join core.favourite_goods
        on
            favourite_goods.client_id = favourite_offers.client_id
            and favourite_goods.favourite_id = favourite_offers.favourite_id
            and favourite_goods.deleted_at is null
    inner join core.favourite_groups
        on
            favourite_groups.client_id = favourite_offers.client_id
            and favourite_groups.group_id = favourite_goods.list_data_id
            and favourite_groups.select_count > 0
            and favourite_groups.deleted_at is null
    where
        favourite_offers.deleted_at is null
        and favourite_offers.is_confirmed
        and favourite_offers.offer_date >= mart.first_plausible_day()
        and (favourite_offers.confirmed_at at time zone parameters.timezone)::date
        between mart.first_plausible_day() and as_of.favourites_day
    group by 1, 2, 3
)

select
    choices.month,
    choices.list_data_id,
    mart.display_text(goods.code) as code,
    mart.display_text(goods.name) as name,
    count(*) as clients,
    round(count(*) filter (where choices.is_still_active)::numeric / count(*), 4)
        as still_active_share,
    rank() over (partition by choices.month order by count(*) desc) as rank,
    (choices.month + interval '1 month')::date - 1 <= (select favourites_day from mart.as_of)
        as is_whole_month
from choices
left join core.goods on goods.list_data_id = choices.list_data_id
group by choices.month, choices.list_data_id, goods.code, goods.name;

create unique index on mart.favourite_goods_monthly (month, list_data_id);

comment on materialized view mart.favourite_goods_monthly is 'the goods that clients chose as favourites. Grain: good, month';
comment on column mart.favourite_goods_monthly.month is 'first day of the month of confirmation';
comment on column mart.favourite_goods_monthly.list_data_id is 'the good';
comment on column mart.favourite_goods_monthly.code is 'its code';
comment on column mart.favourite_goods_monthly.name is 'its name';
comment on column mart.favourite_goods_monthly.clients is 'clients who chose it: an offer that lists it was confirmed, and it is among their chosen goods';
comment on column mart.favourite_goods_monthly.still_active_share is 'share of them for whom it is in effect at the end of the last day known';
comment on column mart.favourite_goods_monthly.rank is 'place in the month by clients; equal counts share it';
comment on column mart.favourite_goods_monthly.is_whole_month is 'the last day of the month is known';
