-- purpose: registration days whose source total is not live rows plus open quarantine
-- parameters: endpoint; {table} is the feed's main table
with live as (
    select registration_date, count(*) as rows
    from core.{table}
    where deleted_at is null
    group by registration_date
),

held as (
    select context as day, count(*) as rows
    from sync.quarantine
    where endpoint = %(endpoint)s and table_name = '{table}' and resolved_at is null
    group by context
),

compared as (
    select
        coalesce(state.registration_date, live.registration_date) as day,
        coalesce(state.source_total, 0) as source_total,
        coalesce(live.rows, 0) as warehouse_rows,
        coalesce(held.rows, 0) as quarantined_rows
    from (
        select registration_date, source_total
        from sync.registration_days
        where source_total is not null
    ) as state
    full join live on live.registration_date = state.registration_date
    left join held
        on held.day = coalesce(state.registration_date, live.registration_date)::text
)

select day, source_total, warehouse_rows, quarantined_rows
from compared
where source_total <> warehouse_rows + quarantined_rows
order by day;
