-- sync.source: the programme that the warehouse holds

-- name: claim_source
-- purpose: record the programme of the warehouse, if none is recorded or nothing was read; returns it
-- parameters: url, operator
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
        and not exists (select from sync.fetches where status not in ('pending', 'failed'))
        and not exists (select from sync.registration_days)
        and not exists (select from sync.client_state)
        and not exists (select from sync.paging_habits)
        and not exists (select from core.registrations)
        and not exists (select from outbox.profile_updates)
        and not exists (select from sync.session_locks where kind in ('run', 'push', 'rewrite'))
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
