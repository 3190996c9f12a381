-- purpose: what a sync does with tables that it does not own: functions of the owner, for lcm_loader

-- Whoever owns a table can drop it, and can put a trigger on it that runs with the rights of whoever
-- writes next, of a superuser too. So the tables belong to lcm_owner, which nobody logs in as, and
-- members of lcm_loader get the few acts of an owner that a sync needs. Each function checks what it is
-- given: nothing but months, staging tables and marts can be reached through it. `lcm migrate` hands
-- tables and functions over after the migrations: sql/queries/catalog.sql.

create function sync.make_month(schema_name text, table_name text, month date) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
as $$
declare
    parent regclass;
    name text := format('%s_%s', table_name, to_char(month, 'YYYYMM'));
begin
    select pg_class.oid into parent
    from pg_class
    where
        relnamespace = to_regnamespace(quote_ident(schema_name))
        and schema_name in ('core', 'history')
        and relname = table_name
        and relkind = 'p';
    if parent is null or month is distinct from date_trunc('month', month)::date then
        raise exception 'no partition can be made: % of %.%', month, schema_name, table_name
            using errcode = 'invalid_parameter_value';
    end if;
    -- Made as a table of its own and attached, this does not lock readers of the parent out.
    execute format(
        'create table %I.%I (like %s including defaults including constraints)',
        schema_name, name, parent
    );
    execute format(
        'alter table %s attach partition %I.%I for values from (%L) to (%L)',
        parent, schema_name, name, month, (month + interval '1 month')::date
    );
    return name;
end;
$$;
comment on function sync.make_month(text, text, date) is 'create the partition of a month of a table of core or history';

create function sync.remove_month(schema_name text, table_name text, month_table text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
-- While it waits, new readers of the whole table wait behind it.
set lock_timeout = '200ms'
as $$
declare
    parent regclass;
    child regclass;
    is_pending boolean;
begin
    select parents.oid, children.oid, pg_inherits.inhdetachpending into parent, child, is_pending
    from pg_class as parents
    inner join pg_class as children
        on
            children.relnamespace = parents.relnamespace
            and children.relname = month_table
            and children.relkind = 'r'
    left join pg_inherits
        on pg_inherits.inhrelid = children.oid and pg_inherits.inhparent = parents.oid
    where
        parents.relnamespace = to_regnamespace(quote_ident(schema_name))
        and schema_name in ('core', 'history')
        and parents.relname = table_name
        and parents.relkind = 'p'
        and month_table ~ '_[0-9]{6}$'
        and left(month_table, -7) = table_name
        and to_date(right(month_table, 6), 'YYYYMM') + interval '1 month'
        <= (select retention.kept_from from sync.retention);
    if child is null then
        raise exception '%.% is not a month that is no longer held', schema_name, month_table
            using errcode = 'invalid_parameter_value';
    end if;
    if is_pending then
        execute format('alter table %s detach partition %s finalize', parent, child);
    elsif not is_pending then
        execute format('alter table %s detach partition %s', parent, child);
    end if;
    execute format('drop table %s', child);
end;
$$;
comment on function sync.remove_month(text, text, text) is 'detach and drop a month of core or history that is older than sync.retention.kept_from';

create function sync.make_staging(
    run_id bigint, table_name text, column_names text[], column_types text[]
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := format('%s_r%s', table_name, run_id);
    columns text;
begin
    -- Types of pg_catalog alone: a domain of others would run its check with the rights of who writes.
    select string_agg(format('%I pg_catalog.%I', listed.name, pg_type.typname), ', ' order by listed.place)
    into columns
    from unnest(column_names, column_types) with ordinality as listed (name, type_name, place)
    inner join pg_type
        on
            pg_type.oid = to_regtype(listed.type_name)
            and pg_type.typnamespace = 'pg_catalog'::regnamespace
    having count(*) = greatest(cardinality(column_names), cardinality(column_types));
    if columns is null or not exists (
        select from pg_class
        where relnamespace = 'core'::regnamespace and relname = table_name and relkind in ('r', 'p')
    ) then
        raise exception 'no staging table can be made of %', table_name
            using errcode = 'invalid_parameter_value';
    end if;
    execute format('drop table if exists staging.%I', name);
    execute format('create unlogged table staging.%I (task_id bigint, %s)', name, columns);
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        execute format('grant select, insert, update, delete on staging.%I to lcm_loader', name);
    end if;
end;
$$;
comment on function sync.make_staging(bigint, text, text[], text[]) is 'create the staging table of a run for a table of core, in place of one with other columns';

create function sync.index_staging(run_id bigint, table_name text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- BRIN suffices, as the rows are nearly in this order.
    execute format(
        'create index if not exists %I on staging.%I using brin (task_id)',
        format('%s_r%s_task', table_name, run_id), format('%s_r%s', table_name, run_id)
    );
end;
$$;
comment on function sync.index_staging(bigint, text) is 'index a staging table by task';

create function sync.drop_staging(run_id bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found record;
begin
    for found in
        select pg_class.relname as name
        from pg_class
        where
            relnamespace = 'staging'::regnamespace
            and relkind = 'r'
            and relname ~ ('_r' || run_id || '$')
    loop
        -- By name: another process may have dropped it meanwhile, and then its regclass is a number.
        execute format('drop table if exists staging.%I', found.name);
    end loop;
end;
$$;
comment on function sync.drop_staging(bigint) is 'drop the staging tables of a run';

create function sync.analyze_table(target regclass, column_names text[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    columns text := (select '(' || string_agg(quote_ident(name), ', ') || ')' from unnest(column_names) as listed (name));
begin
    if not exists (
        select from pg_class
        where
            oid = target
            and (
                relnamespace in (
                    'mart'::regnamespace, 'refresh'::regnamespace, 'staging'::regnamespace
                )
                or oid = 'sync.fetches'::regclass
            )
    ) then
        raise exception '% is not analyzed by a sync', target using errcode = 'invalid_parameter_value';
    end if;
    execute format('analyze %s %s', target, columns);
end;
$$;
comment on function sync.analyze_table(regclass, text[]) is 'analyze a table of mart, refresh or staging, or the ledger; without columns all of them';

create function sync.refresh_mart(mart_name text, is_concurrent boolean) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        'refresh materialized view %s mart.%I',
        case when is_concurrent then 'concurrently' else '' end, mart_name
    );
end;
$$;
comment on function sync.refresh_mart(text, boolean) is 'compute a materialized view of mart';

-- Everybody may execute a new function; these are for lcm_loader alone.
revoke execute on all functions in schema sync from public;
