-- sync.source: the programme that the warehouse holds

-- name: is_read
-- purpose: whether anything was read from the programme, or somebody is reading it
select
    exists (select from sync.fetches where status not in ('pending', 'failed'))
    or exists (select from sync.registration_days)
    or exists (select from sync.client_state)
    or exists (select from sync.paging_habits)
    or exists (select from core.registrations)
    or exists (select from sync.session_locks where kind in ('run', 'push', 'rewrite'))
    as is_read;

-- name: claim_source
-- purpose: record the programme of the warehouse, if none is recorded or nothing was read; returns it
-- parameters: url, operator (and the query is_read)
with claimed as (
    insert into sync.source as source (url, operator)
    values (%(url)s, %(operator)s)
    -- The recorded one may have been a typing error: no call has succeeded, and nobody is trying one.
    on conflict (source_id) do update set
        url = excluded.url,
        operator = excluded.operator,
        since = now()
    where
        (source.url, source.operator) is distinct from (excluded.url, excluded.operator)
        and not exists (select from outbox.profile_updates)
        and not ({is_read})
    returning url, operator
)

select
    url,
    operator
from claimed
union all
select
    url,
    operator
from sync.source
limit 1;

-- name: claim_time_zone
-- purpose: store the time zone of the business day, if nothing was read yet; returns the stored one
-- parameters: zone (and the query is_read)
with claimed as (
    update mart.parameters
    set timezone = %(zone)s
    where timezone <> %(zone)s and not ({is_read})
    returning timezone
)

select coalesce(claimed.timezone, parameters.timezone) as timezone
from mart.parameters
left join claimed on true;

-- name: find_source
-- purpose: the programme that the warehouse holds; no row before the first sync
select
    url,
    operator
from sync.source;

-- name: replace_source
-- purpose: replace the programme of the warehouse, after its address has changed
-- parameters: url, operator
insert into sync.source as source (url, operator)
values (%(url)s, %(operator)s)
on conflict (source_id) do update set
    url = excluded.url,
    operator = excluded.operator,
    since = now();
