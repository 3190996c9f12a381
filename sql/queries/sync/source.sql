-- sync.source: the programme that the warehouse holds

-- name: claim_source
-- purpose: record the programme of the warehouse, if none is recorded; returns the recorded one
-- parameters: url, operator
with claimed as (
    insert into sync.source (url, operator)
    values (%(url)s, %(operator)s)
    on conflict do nothing
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
