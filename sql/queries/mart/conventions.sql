-- mart.conventions: what rows are taken for, and why

-- name: may_read_conventions
-- purpose: whether mart.conventions exists, and the user may read it
select exists (
    select from pg_class
    where
        relnamespace = to_regnamespace('mart')
        and relname = 'conventions'
        and has_schema_privilege(relnamespace, 'usage')
        and has_table_privilege(oid, 'select')
) as may_read;

-- name: conventions_in_use
-- purpose: what rows are taken for, why, and what speaks against it
select
    convention,
    used,
    source,
    detected,
    votes,
    share,
    doubt,
    parameter
from mart.conventions;
