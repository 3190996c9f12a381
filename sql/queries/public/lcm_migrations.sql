-- public.lcm_migrations: which migrations were applied

-- name: create_migrations
-- purpose: create the table of migrations, in a new warehouse
create table if not exists public.lcm_migrations (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default now()
);

-- name: lock_migrations
-- purpose: keep other migrations waiting until the transaction ends
lock table public.lcm_migrations in share row exclusive mode;

-- name: has_migrations
-- purpose: whether a migration was ever applied
select to_regclass('public.lcm_migrations') is not null as has_migrations;

-- name: schemas_of_others
-- purpose: the schemas with our names in a database in which no migration was ever begun
-- parameters: schemas
select pg_namespace.nspname
from pg_namespace
where
    pg_namespace.nspname = any(%(schemas)s)
    and not exists (
        select from pg_class
        where
            pg_class.relname = 'lcm_migrations'
            and pg_class.relnamespace = (select oid from pg_namespace where nspname = 'public')
    )
order by pg_namespace.nspname;

-- name: applied_migrations
-- purpose: the migrations that were applied, with the checksums of their files
select
    name,
    checksum
from public.lcm_migrations;

-- name: record_migration
-- purpose: record that a migration was applied
-- parameters: name, checksum
insert into public.lcm_migrations (name, checksum)
values (%(name)s, %(checksum)s);

-- name: rights_of_owner
-- purpose: the statements that grant the owner of the tables what it needs to make new ones
-- Functions of the owner make the tables of a sync, and a materialized view is refreshed by way of a
-- temporary table of its owner. Before the schemas exist, the owner is the user. No right is needed for
-- the tablespace of the database. The ledger may belong to another role, so it does not count here.
with owners as (
    select pg_roles.oid, pg_roles.rolname
    from pg_roles
    where
        pg_roles.rolname = coalesce(
            (select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'core'),
            current_user
        )
)

select format('grant temporary on database %I to %I;', current_database(), rolname) as statement
from owners
where not has_database_privilege(oid, current_database(), 'temporary')
union all
select
    format('grant create on tablespace %I to %I;', pg_tablespace.spcname, owners.rolname)
        as statement
from pg_tablespace
inner join pg_database
    on pg_database.datname = current_database() and pg_database.dattablespace <> pg_tablespace.oid
cross join owners
where
    pg_tablespace.spcname = current_setting('default_tablespace')
    and not has_tablespace_privilege(owners.oid, pg_tablespace.oid, 'create');
