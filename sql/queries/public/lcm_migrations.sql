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
