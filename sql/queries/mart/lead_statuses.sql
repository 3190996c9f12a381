-- mart.dim_lead_statuses: the statuses of leads, and which of them are in no list

-- name: may_read_lead_statuses
-- purpose: whether mart.dim_lead_statuses exists, is filled, and the user may read it
select exists (
    select from pg_class
    where
        relnamespace = to_regnamespace('mart')
        and relname = 'dim_lead_statuses'
        and relispopulated
        and has_schema_privilege(relnamespace, 'usage')
        and has_table_privilege(oid, 'select')
) as may_read;

-- name: unmapped_lead_statuses
-- purpose: statuses of leads that are in neither list of mart.parameters, the most frequent first
select status_name
from mart.dim_lead_statuses
where role is null
order by leads desc, status_name asc;
