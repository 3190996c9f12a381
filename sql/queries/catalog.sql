-- the catalog of Postgres: comments, rights of the user, owners and views

-- name: dictionary
-- purpose: every column of the documented schemas, with the comments of column, table and schema
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
        namespaces.nspname in ('core', 'core_live', 'history', 'mart', 'outbox', 'sync')
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

-- name: databases
-- purpose: the databases of the server that hold data of users
select datname from pg_database
where datallowconn and not datistemplate
order by datname;

-- name: tables_of_users
-- purpose: every table that stores rows of its own, without those of Postgres and of extensions
select
    pg_namespace.nspname as schema_name,
    pg_class.relname as table_name
from pg_class
inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
where
    pg_class.relkind = 'r'
    and pg_namespace.nspname !~ '^pg_'
    and pg_namespace.nspname <> 'information_schema'
    and not exists (
        select from pg_depend
        where
            pg_depend.classid = 'pg_class'::regclass
            and pg_depend.objid = pg_class.oid
            and pg_depend.deptype = 'e'
    )
order by 1, 2;

-- name: count_table
-- purpose: count the rows of a table
-- {table}: the table
select count(*) as table_rows from {table};

-- name: no_rows_of_table
-- purpose: return no row, but the columns and their types, of a table
-- {table}: the table
select * from {table}
where false;

-- name: ordered_rows
-- purpose: all rows of a table in an order that does not depend on how they are stored
-- {table}: the table; {columns}: of it, or expressions on them; {key}: the columns to order by
select {columns} from {table}
order by {key};

-- name: measure_numbers
-- purpose: the most digits after the point, and the largest whole part, of a column
-- {table}: the table; {number}: a column of it, numeric
select
    max(scale({number})) as largest_scale,
    max(trunc(abs({number}))) as largest_whole
from {table};

-- name: values_of_sequences
-- purpose: the last value of each sequence; null if it was never used
select
    schemaname || '.' || sequencename as sequence_name,
    last_value
from pg_sequences
order by 1;

-- name: rights_of_user
-- purpose: what the user may do in this database, to report missing rights at the start
-- Always one row. Names are looked up in the catalog, as to_regclass raises an error if the user may
-- not use a schema.
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
    coalesce(has_schema_privilege(loader.oid, common.oid, 'usage'), true) as loader_uses_public,
    coalesce(has_function_privilege(months.oid, 'execute'), true) as creates_months
from (select) as one -- noqa: ST11
left join pg_namespace as common on common.nspname = 'public'
left join pg_class as ledger
    on ledger.relnamespace = common.oid and ledger.relname = 'lcm_migrations'
left join pg_class as runs
    on runs.relnamespace = (select oid from pg_namespace where nspname = 'sync')
    and runs.relname = 'runs'
left join pg_proc as months
    on months.pronamespace = (select oid from pg_namespace where nspname = 'sync')
    and months.proname = 'make_month'
left join pg_roles as loader on loader.rolname = 'lcm_loader';

-- name: end_lost_backend
-- purpose: end the server process of a lost session, if it still holds a session lock
-- parameters: kind, lock_id, lost
select pg_terminate_backend(session_pid)
from sync.session_locks
where kind = %(kind)s and lock_id = %(lock_id)s and session_pid = %(lost)s;

-- name: is_held_elsewhere
-- purpose: whether another session has a session lock of a kind
-- parameters: kind
select exists (
    select from sync.session_locks
    where kind = %(kind)s and session_pid <> pg_backend_pid()
) as is_held;

-- name: holders_of_kind
-- purpose: the other sessions that have a session lock of a kind
-- parameters: kind
select
    activity.pid,
    activity.usename as user_name,
    activity.application_name,
    coalesce(activity.xact_start, activity.backend_start) as since
from sync.session_locks
inner join pg_stat_activity as activity on activity.pid = session_locks.session_pid
where session_locks.kind = %(kind)s and session_locks.session_pid <> pg_backend_pid();

-- name: try_session_lock
-- purpose: take an advisory lock that shows what this session works on; false if it is not free
-- parameters: key, lock_id
select pg_try_advisory_lock_shared(%(key)s, %(lock_id)s) as is_taken;

-- name: release_session_locks
-- purpose: release the advisory locks by which this session shows what it works on
-- parameters: prefix (of the kind), lock_id
select pg_advisory_unlock_shared(classid::integer, objid::integer)
from pg_locks
where
    pid = pg_backend_pid()
    and locktype = 'advisory'
    and classid::bigint >> 23 = %(prefix)s
    and objid::bigint = %(lock_id)s
    and objsubid = 2
    and granted;

-- name: blockers_of
-- purpose: the sessions that block a server process
-- parameters: pid
select
    activity.pid,
    activity.usename as user_name,
    activity.application_name,
    coalesce(activity.xact_start, activity.backend_start) as since
from unnest(pg_blocking_pids(%(pid)s)) as blocker (pid)
inner join pg_stat_activity as activity on activity.pid = blocker.pid
order by since;

-- name: ledger_of_migrations
-- purpose: whether the user may read the ledger of migrations; no row if it does not exist
select
    has_schema_privilege(pg_class.relnamespace, 'usage')
    and has_table_privilege(pg_class.oid, 'select') as is_readable
from pg_class
inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
where pg_namespace.nspname = 'public' and pg_class.relname = 'lcm_migrations';

-- name: clock_of_server
-- purpose: what time it is for the server
select clock_timestamp() as clock;

-- name: month_of_server
-- purpose: the first day of the month in UTC that it is for the server
select date_trunc('month', clock_timestamp() at time zone 'UTC')::date as first_day;

-- name: facts_of_server
-- purpose: facts about the server for lcm doctor; needs only the right to connect
select
    quote_ident(current_user) as user_name,
    pg_is_in_recovery() as is_standby,
    clock_timestamp() as clock,
    case
        when has_database_privilege(current_database(), 'connect')
            then pg_database_size(current_database())
    end as size,
    coalesce(
        (
            select
                count(*) = 2
                and bool_and(
                    has_schema_privilege(pg_class.relnamespace, 'usage')
                    and has_table_privilege(pg_class.oid, 'select')
                )
            from pg_class
            inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
            where
                (pg_namespace.nspname, pg_class.relname)
                in (('mart', 'parameters'), ('sync', 'registration_days'))
        ),
        false
    ) as has_time_zone,
    (
        -- -1 is no limit, and a superuser has none.
        select least(nullif(pg_roles.rolconnlimit, -1), nullif(pg_database.datconnlimit, -1))
        from pg_roles
        inner join pg_database on pg_database.datname = current_database()
        where pg_roles.rolname = current_user and not pg_roles.rolsuper
    ) as connection_limit;

-- name: tables_without_key
-- purpose: the tables of the warehouse without a valid unique index
-- Each was created with one. A restore fills tables first, so one that ended early leaves none.
select pg_namespace.nspname || '.' || pg_class.relname as table_name
from pg_class
inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
where
    pg_namespace.nspname in ('core', 'history', 'outbox', 'sync')
    and pg_class.relkind in ('r', 'p')
    and not pg_class.relispartition
    and not exists (
        select from pg_index
        where
            pg_index.indrelid = pg_class.oid
            and pg_index.indisunique
            and pg_index.indisvalid
    )
order by table_name;

-- name: missing_columns
-- purpose: which of some tables and columns do not exist; of a missing table only its own name
-- parameters: schemas, tables, names: schema, table and name of each column
select distinct
    wanted.schema_name || '.' || wanted.table_name
    || case when pg_class.oid is null then '' else '.' || wanted.column_name end as name
from unnest(%(schemas)s::text[], %(tables)s::text[], %(names)s::text[])
    as wanted (schema_name, table_name, column_name)
left join pg_namespace on pg_namespace.nspname = wanted.schema_name
left join pg_class
    on
        pg_class.relnamespace = pg_namespace.oid
        and pg_class.relname = wanted.table_name
        and pg_class.relkind in ('r', 'p')
left join pg_attribute
    on
        pg_attribute.attrelid = pg_class.oid
        and pg_attribute.attname = wanted.column_name
        and not pg_attribute.attisdropped
where pg_attribute.attname is null
order by name;

-- name: drops_of_marts
-- purpose: the statements that drop some marts, with everything that reads them
-- parameters: names
-- `if exists`, as the cascade of an earlier one may have dropped a mart already.
select
    format(
        'drop %%s if exists mart.%%I cascade',
        case relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end,
        relname
    ) as statement
from pg_class
where
    relnamespace = 'mart'::regnamespace
    and relkind in ('v', 'm', 'r')
    and relname = any(%(names)s)
union all
select format('drop view if exists refresh.%%I cascade', named.mart)
from unnest(%(names)s::text[]) as named (mart);

-- name: mart_grants
-- purpose: the grants on each mart to other roles, and the statement that grants each again
select
    classes.relname,
    format(
        'grant %s on mart.%I to %s%s',
        granted.privilege_type,
        classes.relname,
        coalesce(quote_ident(pg_get_userbyid(nullif(granted.grantee, 0))), 'public'),
        case when granted.is_grantable then ' with grant option' end
    ) as statement
from pg_class as classes
cross join aclexplode(classes.relacl) as granted
where classes.relnamespace = 'mart'::regnamespace and granted.grantee <> classes.relowner;

-- name: mart_indexes
-- purpose: the indexes of each mart that are not unique, and the statement that creates each
select
    tables.relname,
    indexes.relname as index_name,
    pg_get_indexdef(pg_index.indexrelid) as statement
from pg_index
inner join pg_class as tables on tables.oid = pg_index.indrelid
inner join pg_class as indexes on indexes.oid = pg_index.indexrelid
where tables.relnamespace = 'mart'::regnamespace and not pg_index.indisunique;

-- name: views_of_others
-- purpose: views of other users that read our marts, and the statements that create each again
-- parameters: names (of our marts)
-- A view has a larger oid than the relations that it read when it was created.
select
    classes.oid::regclass::text as name,
    array[
        format(
            'create %%s %%s.%%I%%s as %%s%%s',
            case classes.relkind when 'm' then 'materialized view' else 'view' end,
            classes.relnamespace::regnamespace,
            classes.relname,
            ' with (' || array_to_string(classes.reloptions, ', ') || ')',
            rtrim(pg_get_viewdef(classes.oid), ';'),
            case classes.relkind when 'm' then ' with no data' else '' end
        )
    ]
    || array(
        select pg_get_indexdef(indexrelid) from pg_index where indrelid = classes.oid
    )
    || array(
        select
            format(
                'comment on %%s %%s.%%I%%s is %%L',
                case
                    when descriptions.objsubid > 0 then 'column'
                    when classes.relkind = 'm' then 'materialized view'
                    else 'view'
                end,
                classes.relnamespace::regnamespace,
                classes.relname,
                '.' || quote_ident(attributes.attname),
                descriptions.description
            )
        from pg_description as descriptions
        left join pg_attribute as attributes
            on
                attributes.attrelid = classes.oid
                and attributes.attnum = descriptions.objsubid
                and descriptions.objsubid > 0
        where descriptions.objoid = classes.oid and descriptions.classoid = 'pg_class'::regclass
    )
    || format(
        'alter table %%s.%%I owner to %%I',
        classes.relnamespace::regnamespace,
        classes.relname,
        pg_get_userbyid(classes.relowner)
    )
    || case
        -- It runs as its owner: the functions of others are not run as who migrates.
        when classes.relkind = 'm'
            then array[
                format(
                    'refresh materialized view %%s.%%I',
                    classes.relnamespace::regnamespace,
                    classes.relname
                )
            ]
        else '{}'
    end
    || array(
        select
            format(
                'grant %%s on %%s.%%I to %%s%%s',
                granted.privilege_type,
                classes.relnamespace::regnamespace,
                classes.relname,
                case granted.grantee when 0 then 'public' else granted.grantee::regrole::text end,
                case when granted.is_grantable then ' with grant option' else '' end
            )
        from aclexplode(classes.relacl) as granted
        where granted.grantee <> classes.relowner
    ) as statements
from pg_class as classes
where
    classes.relkind in ('v', 'm')
    and classes.relnamespace <> 'refresh'::regnamespace
    and not (classes.relnamespace = 'mart'::regnamespace and classes.relname = any(%(names)s))
order by classes.oid;

-- name: identify_replicas
-- purpose: allow updates of tables without a primary key in a publication for all tables
do $$
declare
    found record;
begin
    for found in
        select classes.oid::regclass as relation
        from pg_class as classes
        where
            classes.relnamespace::regnamespace::text
            in ('core', 'history', 'mart', 'outbox', 'refresh', 'sync')
            and classes.relkind in ('r', 'p')
            and classes.relpersistence = 'p'
            and classes.relreplident = 'd'
            and pg_has_role(current_user, classes.relowner, 'usage')
            and not exists (
                select from pg_index
                where pg_index.indrelid = classes.oid and pg_index.indisprimary
            )
    loop
        execute format('alter table %s replica identity full', found.relation);
    end loop;
end;
$$;

-- name: roles_without_set
-- purpose: the user, quoted, and the roles that it is a member of but may not act as
select
    quote_ident(current_user) as user_name,
    rolname as role_name
from pg_roles
where
    rolname in ('lcm_owner', 'lcm_loader')
    and pg_has_role(oid, 'member')
    and not (pg_has_role(oid, 'set') and pg_has_role(oid, 'usage'));

-- name: prepare_owner
-- purpose: create lcm_owner, let the owner of the warehouse so far act as it, and let it own tables
-- What the user may not do is left: statements_for_owner then chooses another owner.
do $$
declare
    former name := (
        select pg_get_userbyid(relowner) from pg_class
        where oid = 'public.lcm_migrations'::regclass
    );
    wanted text;
begin
    if not exists (select from pg_roles where rolname = 'lcm_owner') then
        begin
            create role lcm_owner nologin;
        exception
            when duplicate_object or unique_violation then
                null;
            when insufficient_privilege then
                return; -- see missing_roles
        end;
    end if;
    for wanted in
        select listed.statement
        from (
            values
            (not pg_has_role(former, 'lcm_owner', 'usage'), format('grant lcm_owner to %I', former)),
            (not pg_has_role('lcm_owner', 'usage'), format('grant lcm_owner to %I', current_user)),
            -- The ledgers of migrations and marts.
            (
                not (
                    has_schema_privilege('lcm_owner', 'public', 'usage')
                    and has_schema_privilege('lcm_owner', 'public', 'create')
                ),
                'grant usage, create on schema public to lcm_owner'
            ),
            -- Materialized views are refreshed by way of a temporary table.
            (
                not has_database_privilege('lcm_owner', current_database(), 'temporary'),
                format('grant temporary on database %I to lcm_owner', current_database())
            )
        ) as listed (is_missing, statement)
        where listed.is_missing
    loop
        begin
            execute wanted;
        exception
            when insufficient_privilege then
                null;
        end;
    end loop;
end;
$$;

-- name: statements_for_owner
-- purpose: the statements that give what is ours to the owner; functions last, as they act for it
-- Tables and views of other names that somebody made in mart stay theirs.
with ledger as (
    select relowner from pg_class
    where oid = 'public.lcm_migrations'::regclass
),

target as (
    select coalesce(
        (
            select pg_roles.oid
            from pg_roles
            cross join ledger
            where
                pg_roles.rolname = 'lcm_owner'
                and pg_has_role(pg_roles.oid, 'usage')
                and pg_has_role(ledger.relowner, pg_roles.oid, 'usage')
        ),
        (select ledger.relowner from ledger)
    ) as oid
),

ours as (
    select roles.oid
    from pg_roles as roles
    where
        roles.oid = (select ledger.relowner from ledger)
        or roles.rolname in (current_user, 'lcm_loader', 'lcm_owner')
),

found as (
    select
        1 as place,
        format('schema %I', nspname) as thing
    from pg_namespace
    cross join target
    where
        nspname in ('core_live', 'core', 'history', 'mart', 'outbox', 'refresh', 'staging', 'sync')
        and nspowner <> target.oid
    union all
    select
        2 as place,
        format('table %s', classes.oid::regclass) as thing
    from pg_class as classes
    inner join pg_namespace as namespaces on namespaces.oid = classes.relnamespace
    cross join target
    where
        classes.relowner <> target.oid
        and (
            (
                namespaces.nspname
                in ('core_live', 'core', 'history', 'outbox', 'refresh', 'staging', 'sync')
                and classes.relkind in ('r', 'p', 'v')
            )
            or (
                namespaces.nspname = 'mart'
                and classes.relkind in ('r', 'v', 'm')
                and (
                    classes.relname in (select lcm_marts.name from public.lcm_marts)
                    or (
                        classes.relkind = 'r' and classes.relowner in (select ours.oid from ours)
                    )
                )
            )
            or (
                classes.oid in ('public.lcm_migrations'::regclass, 'public.lcm_marts'::regclass)
                and has_schema_privilege(target.oid, 'public', 'create')
            )
        )
    union all
    select
        3 as place,
        format('routine %s', pg_proc.oid::regprocedure) as thing
    from pg_proc
    inner join pg_namespace as namespaces on namespaces.oid = pg_proc.pronamespace
    cross join target
    where
        namespaces.nspname in ('mart', 'refresh', 'sync')
        and pg_proc.proowner <> target.oid
        and pg_proc.proowner in (select ours.oid from ours)
)

select format('alter %s owner to %I', found.thing, pg_get_userbyid(target.oid)) as statement
from found
cross join target
order by found.place, found.thing;

-- name: rights_on_new_mart
-- purpose: the statements that give a stored mart to the owner of the schema, and a table to lcm_loader to fill
-- parameters: mart_name, is_table
-- Sessions of lcm_loader refresh a materialized view through a function of its owner.
select
    format(
        'alter table mart.%%I owner to %%I', %(mart_name)s::text, pg_get_userbyid(nspowner)
    ) as statement
from pg_namespace
where nspname = 'mart'
union all
select format('grant insert, update, delete on mart.%%I to lcm_loader', %(mart_name)s::text)
from pg_roles
where %(is_table)s and rolname = 'lcm_loader';

-- name: partitions_of
-- purpose: the names of a table's partitions
-- parameters: table_name
select child.relname
from pg_inherits
inner join pg_class as child on child.oid = pg_inherits.inhrelid
where pg_inherits.inhparent = %(table_name)s::regclass;

-- name: make_month
-- purpose: create the partition of a month; returns its name
-- parameters: schema_name, table_name, month
select sync.make_month(%(schema_name)s, %(table_name)s, %(month)s);

-- name: analyze_table
-- purpose: analyze a table of core, mart, refresh or staging, or the ledger, owned by anyone
-- parameters: table_name, column_names (null for all columns)
select sync.analyze_table(%(table_name)s::regclass, %(column_names)s::text[]);

-- name: apply_settings
-- purpose: change the settings of a session that differ from the wanted values
-- parameters: names, wanted (in the same order)
-- Settings that this version of Postgres does not have are skipped. For synchronous_commit, only
-- `off` is changed, as other values are at least as safe. Types and functions are named in full: the
-- search path of the role may begin with a schema of another application that has some of these names.
select pg_catalog.set_config(name, wanted, false)
from unnest(%(names)s::pg_catalog.text[], %(wanted)s::pg_catalog.text[]) as settings (name, wanted)
where
    pg_catalog.current_setting(name, true) <> wanted
    and (name <> 'synchronous_commit' or pg_catalog.current_setting(name, true) = 'off');

-- name: raise_temp_buffers
-- purpose: give the temporary tables of a session 64 MB of memory, unless it has more
-- A refresh stores its steps in some, which leave the default of 8 MB.
select set_config('temp_buffers', '64MB', false)
where pg_size_bytes(current_setting('temp_buffers')) < pg_size_bytes('64MB');

-- name: names_of_session
-- purpose: the user and the database of a session, quoted
select
    quote_ident(session_user) as user_name,
    quote_ident(current_database()) as database_name;

-- name: role_exists
-- purpose: whether a role exists
-- parameters: name
select exists (select from pg_roles where rolname = %(name)s) as role_exists;

-- name: table_keys
-- purpose: the key columns of each described table, and the columns that are never null
-- The key is the primary key, or else the unique index with the fewest columns. Without partitions.
with keys as (
    select distinct on (indrelid)
        indrelid,
        indkey
    from pg_index
    where indisunique and indexprs is null and indpred is null
    order by indrelid asc, indisprimary desc, indnatts asc
)

select
    namespaces.nspname as schema_name,
    classes.relname as table_name,
    coalesce(
        array_agg(attributes.attname order by array_position(keys.indkey, attributes.attnum))
        filter (where attributes.attnum = any(keys.indkey)), '{}'
    )::text[] as key_columns,
    coalesce(
        array_agg(attributes.attname order by attributes.attnum)
        filter (where attributes.attnotnull), '{}'
    )::text[] as required_columns
from pg_class as classes
inner join pg_namespace as namespaces on namespaces.oid = classes.relnamespace
inner join pg_attribute as attributes
    on
        attributes.attrelid = classes.oid
        and attributes.attnum > 0
        and not attributes.attisdropped
left join keys on keys.indrelid = classes.oid
where
    namespaces.nspname in ('core', 'core_live', 'history', 'mart')
    and classes.relkind in ('r', 'p', 'v', 'm')
    and not classes.relispartition
group by namespaces.nspname, classes.relname
order by namespaces.nspname, classes.relname;

-- name: identify_database
-- purpose: which server and database a warehouse is, whatever address, pooler or login it is reached by
select controls.system_identifier || '-' || databases.oid
from pg_control_system() as controls
cross join pg_database as databases
where databases.datname = current_database();
