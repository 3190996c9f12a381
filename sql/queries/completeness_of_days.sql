-- purpose: days of a window, and those of them that no proven poll covers
-- parameters: endpoint (not used here), first, last
select
    count(*) as days,
    count(*) filter (where state.read_at is null or state.pending_since is not null) as pending,
    0 as deferred
from generate_series(%(first)s::date, %(last)s::date, interval '1 day') as series
left join sync.registration_days as state on state.registration_date = series::date
where %(endpoint)s::text is not null;
