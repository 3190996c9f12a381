-- purpose: who may do what: lcm_loader writes, lcm_analyst reads core, history and mart, lcm_bi mart
-- The roles are groups that nobody logs in as; they are of the whole server, so other databases may
-- have made them. A user who may not make roles migrates all the same, and is told what is missing.

do $$
declare
    wanted text;
begin
    foreach wanted in array array['lcm_loader', 'lcm_analyst', 'lcm_bi'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception
                when duplicate_object or unique_violation then
                    null;
                when insufficient_privilege then
                    raise warning 'the role % is missing, and % may not make it: have it made (create role % nologin), then grant as sql/migrations/0006_create_roles.sql does',
                        wanted, current_user, wanted;
            end;
        end if;
    end loop;
end;
$$;

do $$
begin
    -- Of use to whoever logs in as lcm_bi itself: settings of a group do not reach its members.
    if exists (select from pg_roles where rolname = 'lcm_bi') then
        alter role lcm_bi set statement_timeout = '60s';
    end if;
exception
    when insufficient_privilege then
        raise warning 'the statement time-out of lcm_bi is not set, as % may not: alter role lcm_bi set statement_timeout = ''60s''',
            current_user;
end;
$$;

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant usage on schema public to lcm_loader;
        grant select on table public.lcm_migrations, public.lcm_marts to lcm_loader;
        grant usage, create on schema core, history, staging to lcm_loader;
        grant usage on schema sync, outbox, mart to lcm_loader;
        grant select, insert, update, delete on all tables in schema core, history, sync, outbox, staging
            to lcm_loader;
        grant usage on all sequences in schema sync, outbox to lcm_loader;
        grant select on all tables in schema mart to lcm_loader;
        grant update on table mart.parameters to lcm_loader;
        grant insert, update, delete on table mart.rfm_segments to lcm_loader;
        alter default privileges in schema core, history, sync, outbox, staging
            grant select, insert, update, delete on tables to lcm_loader;
        alter default privileges in schema sync, outbox grant usage on sequences to lcm_loader;
        alter default privileges in schema mart grant select on tables to lcm_loader;
        alter default privileges in schema mart grant execute on functions to lcm_loader;
    end if;
    if exists (select from pg_roles where rolname = 'lcm_analyst') then
        grant usage on schema core, history, mart to lcm_analyst;
        grant select on all tables in schema core, history, mart to lcm_analyst;
        alter default privileges in schema core, history, mart
            grant select on tables to lcm_analyst;
        alter default privileges in schema mart grant execute on functions to lcm_analyst;
    end if;
    if exists (select from pg_roles where rolname = 'lcm_bi') then
        grant usage on schema mart to lcm_bi;
        grant select on all tables in schema mart to lcm_bi;
        alter default privileges in schema mart grant select on tables to lcm_bi;
        alter default privileges in schema mart grant execute on functions to lcm_bi;
    end if;
end;
$$;

-- Partitions are attached by the owner of their parent: whoever is in lcm_loader may do that.
do $$
declare
    parent record;
begin
    if
        exists (select from pg_roles where rolname = 'lcm_loader')
        and pg_has_role(current_user, 'lcm_loader', 'member')
    then
        for parent in
            select oid::regclass as name
            from pg_class
            where
                relnamespace in ('core'::regnamespace, 'history'::regnamespace)
                and relkind in ('r', 'p')
        loop
            execute format('alter table %s owner to lcm_loader', parent.name);
        end loop;
    else
        raise warning 'new months of core and history can be made by % alone, who is no member of lcm_loader', current_user;
    end if;
end;
$$;
