-- purpose: how complete each day of the window is, for registrations; and earlier days that were not
-- parameters: run_id, endpoint, first, last
with mended as (
    update sync.window_days
    set pending = 0
    from sync.registration_days as state
    where
        window_days.endpoint = %(endpoint)s
        and window_days.pending > 0
        and window_days.day not between %(first)s and %(last)s
        and state.registration_date = window_days.day
        and state.read_at is not null
        and state.pending_since is null
)

insert into sync.window_days (endpoint, day, run_id, published_at, clients, pending)
select
    %(endpoint)s,
    series::date,
    %(run_id)s,
    now(),
    coalesce(state.source_total, 0),
    (state.read_at is null or state.pending_since is not null)::integer
from generate_series(%(first)s::date, %(last)s::date, interval '1 day') as series
left join sync.registration_days as state on state.registration_date = series::date
on conflict (endpoint, day) do update set
    run_id = excluded.run_id,
    published_at = excluded.published_at,
    clients = excluded.clients,
    pending = excluded.pending;
