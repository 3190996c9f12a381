-- refresh.marts: which state of the warehouse each mart shows

-- name: forget_refreshes
-- purpose: forget the digests of some marts, so that the next refresh computes them
-- parameters: names
update refresh.marts
set signature = 'forgotten'
where name = any(%(names)s);

-- name: forget_all_refreshes
-- purpose: forget the digests of all marts, so that the next refresh computes them
update refresh.marts
set signature = 'forgotten';

-- name: record_refreshes
-- purpose: record which state of the warehouse some marts show, and when they were refreshed
-- parameters: names, signatures
insert into refresh.marts (name, signature, refreshed_at, operations_day)
select
    refreshed.name,
    refreshed.signature,
    now(),
    as_of.operations_day
from unnest(%(names)s::text[], %(signatures)s::text[]) as refreshed (name, signature)
cross join mart.as_of
on conflict (name) do update set
    signature = excluded.signature,
    refreshed_at = excluded.refreshed_at,
    operations_day = excluded.operations_day;

-- name: refreshed_marts
-- purpose: which state of the warehouse each mart shows; none if a restore could not compute it
select
    marts.name,
    marts.signature
from refresh.marts
left join pg_matviews as views on marts.name = views.matviewname and views.schemaname = 'mart'
where views.ispopulated is not false;

-- name: refresh_mart
-- purpose: compute a materialized view, which the user need not own
-- parameters: mart_name, is_concurrent
select sync.refresh_mart(%(mart_name)s, %(is_concurrent)s);

-- name: was_refreshed
-- purpose: whether a materialized view was refreshed before, and has rows to compare with
-- parameters: name
select exists (
    select
    from refresh.marts
    inner join pg_matviews as views on marts.name = views.matviewname and views.schemaname = 'mart'
    where marts.name = %(name)s and views.ispopulated
) as was_refreshed;
