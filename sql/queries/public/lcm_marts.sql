-- public.lcm_marts: which marts are installed

-- name: installed_marts
-- purpose: the marts that are installed, with the checksums of their files
select
    name,
    checksum
from public.lcm_marts
where name <> 'lcm_migrations';

-- name: record_mart
-- purpose: record that a mart is installed, with the checksum of its file
-- parameters: name, checksum
insert into public.lcm_marts (name, checksum)
values (%(name)s, %(checksum)s)
on conflict (name) do update set
    checksum = excluded.checksum,
    installed_at = now();

-- name: forget_marts
-- purpose: forget marts that no longer have a file
-- parameters: names
delete from public.lcm_marts
where name = any(%(names)s);

-- name: begin_migration
-- purpose: record that a migration has begun, in a warehouse that has this table, until end_migration
do $$
begin
    if to_regclass('public.lcm_marts') is not null then
        insert into public.lcm_marts (name, checksum)
        values ('lcm_migrations', 'begun')
        on conflict (name) do nothing;
    end if;
end;
$$;

-- name: has_begun_migration
-- purpose: whether a migration was begun and not ended
select exists (select from public.lcm_marts where name = 'lcm_migrations') as has_begun;

-- name: end_migration
-- purpose: record that the migration is complete, rights included
delete from public.lcm_marts
where name = 'lcm_migrations';
