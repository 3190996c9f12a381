-- Net sales of each store by month, and per working day of the days of the month that are known.
with working_days as (
    -- The running month counts only days that have sales to divide: program_daily ends with the last day known.
    select
        calendar.month,
        count(*) filter (where calendar.is_working_day) as working_days
    from {{ source('mart', 'dim_calendar') }} as calendar
    inner join {{ source('mart', 'program_daily') }} as known
        on known.day = calendar.day and known.net_sales is not null
    group by calendar.month
),

sales as (
    select
        date_trunc('month', day)::date as month,
        pos_id,
        {{ lcm.metric('store_daily', 'net_sales') }} as net_sales
    from {{ source('mart', 'store_daily') }}
    group by 1, 2
)

select
    sales.month,
    sales.pos_id,
    stores.store_name,
    sales.net_sales,
    round(sales.net_sales / nullif(working_days.working_days, 0), 2) as net_sales_per_working_day
from sales
inner join working_days on working_days.month = sales.month
left join {{ source('mart', 'dim_stores') }} as stores on stores.pos_id = sales.pos_id
