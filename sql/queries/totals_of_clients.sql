-- purpose: clients whose source total is not live rows plus open quarantine
-- parameters: endpoint; {table} is the feed's main table
with live as (
    select client_id, count(*) as rows
    from core.{table}
    where deleted_at is null
    group by client_id
),

held as (
    select client_id, count(*) as rows
    from sync.quarantine
    where endpoint = %(endpoint)s and table_name = '{table}' and resolved_at is null
    group by client_id
),

compared as (
    select
        coalesce(state.client_id, live.client_id) as client_id,
        coalesce(state.source_total, 0) as source_total,
        coalesce(live.rows, 0) as warehouse_rows,
        coalesce(held.rows, 0) as quarantined_rows
    from (
        select client_id, source_total
        from sync.client_state
        where endpoint = %(endpoint)s and source_total is not null
    ) as state
    full join live on live.client_id = state.client_id
    left join held on held.client_id = coalesce(state.client_id, live.client_id)
)

select client_id, source_total, warehouse_rows, quarantined_rows
from compared
where source_total <> warehouse_rows + quarantined_rows
order by client_id;
