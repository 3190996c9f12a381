-- the rights of the group roles

-- name: grant_rights
-- purpose: grant the group roles missing rights: of roles created after the migrations or a restore
-- Repeats the grants of the migrations, so it is idempotent. A right that the user may not grant
-- raises a warning. `on all tables in schema` is for those that the user may grant: one table of another
-- owner, such as a view of yours in mart, would fail the statement for all.
do $$
declare
    group_role text;
    wanted record;
    scope text[];
    names text;
begin
    foreach group_role in array array['lcm_loader', 'lcm_analyst', 'lcm_bi', 'lcm_monitor'] loop
        if not exists (select from pg_roles where rolname = group_role) then
            begin
                execute format('create role %I nologin', group_role);
            exception
                when duplicate_object or unique_violation then
                    null;
                when insufficient_privilege then
                    null; -- see missing_roles
            end;
        end if;
    end loop;

    -- What the owner creates later, months and marts, has these rights from the start.
    for wanted in
        select
            replace(
                listed.statement,
                'alter default privileges in',
                format('alter default privileges for role %I in', creators.name)
            ) as statement
        from (
            values
            -- Profiles are personal data: readers must not see them, whatever the database grants by default.
            ('public', 'revoke all on schema outbox from public'),
            ('public', 'revoke all on all tables in schema outbox from public'),
            -- Everybody may execute what a restore without privileges has created.
            ('public', 'revoke execute on all functions in schema sync from public'),
            (
                'lcm_loader',
                'grant usage on schema public, core, core_live, history, mart, outbox, refresh, staging, sync to lcm_loader'
            ),
            -- Until 0036 members of lcm_loader owned tables of core, and what they had made.
            ('lcm_loader', 'revoke create on schema core, history, staging, refresh, mart from lcm_loader'),
            ('lcm_loader', 'grant execute on all functions in schema sync to lcm_loader'),
            ('lcm_loader', 'grant select on table public.lcm_migrations, public.lcm_marts to lcm_loader'),
            (
                'lcm_loader',
                'grant select, insert, update, delete on all tables in schema core, history, sync, outbox, staging, refresh to lcm_loader'
            ),
            -- It reads them only for pg_dump, so that whoever syncs can also back up.
            ('lcm_loader', 'grant usage, select on all sequences in schema sync, outbox to lcm_loader'),
            ('lcm_loader', 'grant select on all tables in schema core_live, mart to lcm_loader'),
            (
                'lcm_loader',
                (
                    select
                        format(
                            'grant insert, update, delete on table %s to lcm_loader',
                            string_agg(format('mart.%I', relname), ', ')
                        )
                    from pg_class
                    where
                        relnamespace = 'mart'::regnamespace
                        and relkind = 'r'
                        and relname in (select lcm_marts.name from public.lcm_marts)
                    having count(*) > 0
                )
            ),
            ('lcm_loader', 'grant update on table mart.parameters to lcm_loader'),
            ('lcm_loader', 'grant insert, update, delete on table mart.rfm_segments to lcm_loader'),
            (
                'lcm_loader',
                'grant insert, update, delete on table mart.parameter_history, mart.source_breakage, mart.calendar_overrides to lcm_loader'
            ),
            (
                'lcm_loader',
                'grant insert, delete on table mart.published_days, mart.published_months, mart.restated_answers to lcm_loader'
            ),
            (
                'lcm_loader',
                'alter default privileges in schema core, history, sync, outbox, staging grant select, insert, update, delete on tables to lcm_loader'
            ),
            ('lcm_loader', 'alter default privileges in schema sync, outbox grant usage, select on sequences to lcm_loader'),
            ('lcm_loader', 'alter default privileges in schema core_live grant select on tables to lcm_loader'),
            ('lcm_loader', 'alter default privileges in schema mart, refresh grant select on tables to lcm_loader'),
            ('lcm_loader', 'alter default privileges in schema mart grant execute on functions to lcm_loader'),
            ('lcm_analyst', 'grant usage on schema core, core_live, history, mart to lcm_analyst'),
            ('lcm_analyst', 'grant select on all tables in schema core, core_live, history, mart to lcm_analyst'),
            ('lcm_analyst', 'alter default privileges in schema core, history, mart grant select on tables to lcm_analyst'),
            ('lcm_analyst', 'alter default privileges in schema mart grant execute on functions to lcm_analyst'),
            ('lcm_bi', 'grant usage on schema mart to lcm_bi'),
            ('lcm_bi', 'grant select on all tables in schema mart to lcm_bi'),
            ('lcm_bi', 'alter default privileges in schema mart grant select on tables to lcm_bi'),
            ('lcm_bi', 'alter default privileges in schema mart grant execute on functions to lcm_bi'),
            -- Monitoring must not see personal data: neither rows in quarantine nor phones, nor the views of
            -- sync that contain whole rows of core and history, which are read as their owner.
            ('lcm_monitor', 'grant usage on schema public, core, sync, outbox to lcm_monitor'),
            ('lcm_monitor', 'grant select on table public.lcm_migrations, public.lcm_marts to lcm_monitor'),
            ('lcm_monitor', 'grant select (client_id, registration_date, first_seen_at) on table core.clients to lcm_monitor'),
            ('lcm_monitor', 'grant select (client_id, deleted_at) on table core.registrations to lcm_monitor'),
            ('lcm_monitor', 'grant select on all tables in schema sync to lcm_monitor'),
            (
                'lcm_monitor',
                'revoke select on table sync.quarantine, sync.forget_key, sync.feed_rows, sync.feed_versions from lcm_monitor'
            ),
            (
                'lcm_monitor',
                (
                    select
                        format(
                            'grant select (%s) on table sync.quarantine to lcm_monitor',
                            string_agg(quote_ident(attname), ', ')
                        )
                    from pg_attribute
                    where
                        attrelid = 'sync.quarantine'::regclass and attnum > 0
                        and not attisdropped and attname <> 'raw'
                )
            ),
            ('lcm_monitor', 'grant select (update_id, status, push_id) on table outbox.profile_updates to lcm_monitor'),
            ('lcm_monitor', 'grant select on table outbox.pushes to lcm_monitor')
        ) as listed (grantee, statement)
        inner join (
            select current_user as name
            union
            select pg_get_userbyid(nspowner) from pg_namespace
            where nspname = 'core'
        ) as creators
            on
                creators.name = current_user
                or listed.statement like 'alter default privileges in %'
        where
            listed.statement is not null
            and (listed.grantee = 'public' or listed.grantee in (select rolname from pg_roles))
    loop
        scope := regexp_match(wanted.statement, ' on (all (table|sequence|function)s in schema ([a-z_, ]+)) (?:to|from) ');
        if scope is not null then
            select string_agg(objects.name, ', ') into names
            from (
                select
                    case relkind when 'S' then 'sequence' else 'table' end as kind,
                    relnamespace as namespace,
                    relowner as owner,
                    oid::regclass::text as name
                from pg_class
                where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
                union all
                select
                    'function' as kind,
                    pronamespace as namespace,
                    proowner as owner,
                    oid::regprocedure::text as name
                from pg_proc
                where prokind <> 'p'
            ) as objects
            where
                objects.kind = scope[2]
                and objects.namespace::regnamespace::text = any(string_to_array(scope[3], ', '))
                and pg_has_role(objects.owner, 'usage');
            continue when names is null;
            wanted.statement := replace(wanted.statement, scope[1], format('%s %s', scope[2], names));
        end if;
        begin
            execute wanted.statement;
        exception
            when insufficient_privilege then
                raise warning '% may not: %', current_user, wanted.statement;
        end;
    end loop;
end;
$$;

-- name: missing_roles
-- purpose: the group roles that do not exist, and whether the owner of the warehouse has to be a member
select
    wanted.role_name,
    wanted.is_for_owner,
    quote_ident(current_user) as user_name,
    (
        select quote_ident(pg_get_userbyid(relowner)) from pg_class
        where oid = 'public.lcm_migrations'::regclass
    ) as owner_name
from (
    values
    (1, 'lcm_owner', true),
    (2, 'lcm_loader', true),
    (3, 'lcm_analyst', false),
    (4, 'lcm_bi', false),
    (5, 'lcm_monitor', false)
) as wanted (place, role_name, is_for_owner)
where not exists (select from pg_roles where pg_roles.rolname = wanted.role_name)
order by wanted.place;

-- name: rights_of_roles
-- purpose: the number of rights of each group role, to report what a grant added
with schemas as (
    select
        oid,
        nspacl
    from pg_namespace
    where nspname in (
        'core_live', 'core', 'history', 'mart', 'outbox', 'refresh', 'staging', 'sync', 'public'
    )
),

entries as (
    select pg_class.relacl as acl
    from pg_class
    where pg_class.relnamespace in (select schemas.oid from schemas)
    union all
    select nspacl
    from schemas
    union all
    select pg_attribute.attacl
    from pg_attribute
    where
        pg_attribute.attacl is not null
        and pg_attribute.attrelid in (
            'core.clients'::regclass,
            'sync.quarantine'::regclass,
            'outbox.profile_updates'::regclass
        )
)

select pg_roles.rolname, count(*) as rights
from entries
cross join lateral aclexplode(entries.acl) as granted
inner join pg_roles on pg_roles.oid = granted.grantee
where pg_roles.rolname in ('lcm_loader', 'lcm_analyst', 'lcm_bi', 'lcm_monitor')
group by pg_roles.rolname;
