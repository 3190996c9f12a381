-- mart.dim_lead_statuses: which statuses leads have, and which of them no list names

-- name: may_read_lead_statuses
-- purpose: whether the user may read mart.dim_lead_statuses, and it is there and filled
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
