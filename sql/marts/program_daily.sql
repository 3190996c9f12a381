-- question: how does the programme do, day by day?
-- grain: day, without gaps from the first registration or operation to the last day known
-- formula: members by mart.members; points by mart.points_movements (expired with and without a row
--   that says so); activated: lots by the day from which they can be used, at the points they were
--   given with; balances by mart.points_liability_daily; purchases are cheques that are no refund,
--   buyers the clients who made one; net sales are purchases less refunds. What operations show is null
--   on days that only the roster covers, and on days whose operations are not stored any more
--   (LCM_RETENTION_MONTHS); members are null on days that only operations cover.
create materialized view mart.program_daily as
with last_day as (
    select
        greatest(registrations_day, operations_day) as day,
        registrations_day,
        operations_day,
        coalesce(operations_kept_from, '-infinity') as operations_from
    from mart.as_of
),

registered as (
    select registration_date as day, count(*) as new_members
    from mart.members
    group by registration_date
),

moved as (
    select
        movement_date as day,
        sum(added) as points_added,
        sum(redeemed) as points_redeemed,
        sum(expired) as points_expired
    from mart.points_sums
    group by movement_date
),

activated as (
    select greatest(active_date, issue_date) as day, sum(added) as points_activated
    from mart.lot_sums
    group by greatest(active_date, issue_date)
),

balances as (
    select
        day,
        sum(active_points) as active_balance,
        sum(pending_points) as pending_balance
    from mart.points_liability_daily
    group by day
),

sold as (
    select day, sum(purchases)::bigint as purchases, sum(net_sales) as net_sales
    from mart.sales_daily
    group by day
),

days as (
    select series::date as day
    from
        last_day,
        generate_series(
            least(
                (select min(day) from registered),
                (select min(day) from sold),
                (select min(day) from moved)
            )::timestamp,
            last_day.day::timestamp,
            interval '1 day'
        ) as series
)

select
    days.day,
    coalesce(registered.new_members, told.nobody) as new_members,
    case
        when told.nobody is not null
            then sum(coalesce(registered.new_members, 0)) over (order by days.day)
    end::bigint as members,
    coalesce(moved.points_added, told.nothing)::numeric(19, 2) as points_added,
    coalesce(moved.points_redeemed, told.nothing)::numeric(19, 2) as points_redeemed,
    coalesce(activated.points_activated, told.nothing)::numeric(19, 2) as points_activated,
    coalesce(moved.points_expired, told.nothing)::numeric(19, 2) as points_expired,
    case
        when readings.observed_date is not null then coalesce(balances.active_balance, 0)
    end::numeric(19, 2) as active_balance,
    case
        when readings.observed_date is not null then coalesce(balances.pending_balance, 0)
    end::numeric(19, 2) as pending_balance,
    readings.observed_date as balance_observed_date,
    case
        when readings.observed_date = days.day then 'read'
        when readings.observed_date is not null then 'rolled back'
    end as balance_method,
    coalesce(sold.purchases, told.nothing) as purchases,
    coalesce(sold.net_sales, told.nothing)::numeric(19, 2) as net_sales,
    coalesce(buyers_daily.buyers, told.nothing) as buyers
from days
cross join last_day
cross join lateral (
    select
        case when days.day between last_day.operations_from and last_day.operations_day then 0 end
            as nothing,
        case when days.day <= last_day.registrations_day then 0 end as nobody
) as told
left join registered on registered.day = days.day
left join moved on moved.day = days.day and days.day <= last_day.operations_day
left join activated on activated.day = days.day and days.day <= last_day.operations_day
left join balances on balances.day = days.day
left join sold on sold.day = days.day and days.day <= last_day.operations_day
left join mart.buyers_daily
    on buyers_daily.day = days.day and days.day <= last_day.operations_day
left join mart.readings_by_day as readings
    on
        readings.feed = 'operations'
        and readings.day = days.day
        and days.day >= last_day.operations_from;

create unique index on mart.program_daily (day);

comment on materialized view mart.program_daily is 'the programme day by day: members, points, purchases. Grain: day';
comment on column mart.program_daily.day is 'business day';
comment on column mart.program_daily.new_members is 'clients who registered; null on a day that only operations cover';
comment on column mart.program_daily.members is 'clients registered so far; null as new_members';
comment on column mart.program_daily.points_added is 'points given';
comment on column mart.program_daily.points_redeemed is 'points redeemed, less those that refunds gave back';
comment on column mart.program_daily.points_activated is 'points that became usable';
comment on column mart.program_daily.points_expired is 'points expired, with and without a row that says so';
comment on column mart.program_daily.active_balance is 'points that could be redeemed at the end of the day';
comment on column mart.program_daily.pending_balance is 'points not usable yet, or blocked, at the end of the day';
comment on column mart.program_daily.balance_observed_date is 'last day of the reading that the balances are from; null if none';
comment on column mart.program_daily.balance_method is 'read: that reading was of this day; rolled back: of a later one, with the rows of the days between undone; null if no reading covers the day';
comment on column mart.program_daily.purchases is 'cheques that are no refund';
comment on column mart.program_daily.net_sales is 'purchases less refunds, in money';
comment on column mart.program_daily.buyers is 'clients with a purchase';
