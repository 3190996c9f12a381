-- purpose: what the user may do in this database, to say at the start what is missing
-- parameters: none
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
