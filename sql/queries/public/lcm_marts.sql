-- public.lcm_marts: which marts are installed

-- name: installed_marts
-- purpose: the marts that are installed, with the checksums of their files
select
    name,
    checksum
from public.lcm_marts;

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
