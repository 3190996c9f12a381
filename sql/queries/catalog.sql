-- the catalogue of Postgres: comments and rights

-- name: dictionary
-- purpose: every column of the documented schemas, with the comments on it, its table, its schema
with described as (
    select
        namespaces.nspname as schema_name,
        obj_description(namespaces.oid, 'pg_namespace') as schema_comment,
        classes.relname as table_name,
        case classes.relkind
            when 'v' then 'view'
            when 'm' then 'materialized view'
            else 'table'
        end as kind,
        obj_description(classes.oid, 'pg_class') as table_comment,
        attributes.attname as column_name,
        format_type(attributes.atttypid, attributes.atttypmod) as column_type,
        col_description(classes.oid, attributes.attnum) as column_comment,
        attributes.attnum
    from pg_class as classes
    inner join pg_namespace as namespaces on namespaces.oid = classes.relnamespace
    inner join pg_attribute as attributes
        on
            attributes.attrelid = classes.oid
            and attributes.attnum > 0
            and not attributes.attisdropped
    where
        namespaces.nspname in ('core', 'history', 'mart', 'outbox', 'sync')
        and classes.relkind in ('r', 'p', 'v', 'm')
        and not classes.relispartition
)

select
    schema_name,
    coalesce(schema_comment, '') as schema_comment,
    table_name,
    kind,
    coalesce(table_comment, '') as table_comment,
    column_name,
    column_type,
    coalesce(column_comment, '') as column_comment
from described
order by schema_name, table_name, attnum;

-- name: rights_of_user
-- purpose: what the user may do in this database, to say at the start what is missing
-- One row, whatever is missing. Names are looked up in the catalogue, as to_regclass raises where the
-- user may not use a schema.
select
    quote_ident(current_user) as user_name,
    quote_ident(current_database()) as database,
    has_database_privilege(current_database(), 'create') as creates_schemas,
    has_database_privilege(current_database(), 'temporary') as creates_temporary_tables,
    common.oid is not null as has_public,
    coalesce(
        has_schema_privilege(common.oid, 'usage') and has_schema_privilege(common.oid, 'create'),
        false
    ) as creates_in_public,
    ledger.oid is not null as is_migrated,
    quote_ident(pg_get_userbyid(ledger.relowner)) as owner,
    coalesce(pg_has_role(ledger.relowner, 'usage'), false) as acts_as_owner,
    coalesce(
        has_schema_privilege(common.oid, 'usage') and has_table_privilege(ledger.oid, 'select')
        and has_schema_privilege(runs.relnamespace, 'usage')
        and has_table_privilege(runs.oid, 'insert'),
        false
    ) as acts_as_loader,
    coalesce(has_table_privilege(loader.oid, runs.oid, 'insert'), false) as loader_is_granted,
    coalesce(pg_has_role(loader.oid, 'member'), false) as is_member_of_loader,
    quote_ident(pg_get_userbyid(facts.relowner)) as owner_of_facts,
    coalesce(pg_has_role(facts.relowner, 'usage'), false) as acts_as_owner_of_facts
from (select) as one -- noqa: ST11
left join pg_namespace as common on common.nspname = 'public'
left join pg_class as ledger
    on ledger.relnamespace = common.oid and ledger.relname = 'lcm_migrations'
left join pg_class as runs
    on runs.relnamespace = (select oid from pg_namespace where nspname = 'sync')
    and runs.relname = 'runs'
left join pg_class as facts
    on facts.relnamespace = (select oid from pg_namespace where nspname = 'core')
    and facts.relname = 'operations'
left join pg_roles as loader on loader.rolname = 'lcm_loader';

-- name: blockers_of
-- purpose: who holds what a server process waits for
-- parameters: pid
select
    activity.pid,
    activity.usename as user_name,
    activity.application_name,
    coalesce(activity.xact_start, activity.backend_start) as since
from unnest(pg_blocking_pids(%(pid)s)) as blocker (pid)
inner join pg_stat_activity as activity on activity.pid = blocker.pid
order by since;
