-- purpose: how complete each published day of a feed that reads clients is, the window's days included
-- parameters: run_id, endpoint, first, last
-- A day waits for each client that had registered by its end and has no proven reading since: it is
-- pending when its last reading failed or none was made, else deferred. So a reading completes the
-- days before it as well.
with waiting as (
    select
        clients.registration_date,
        greatest(clients.registration_date, state.proven_date + 1) as waits_from,
        state.read_at is null or state.pending_since is not null as is_pending
    from core.clients
    left join sync.client_state as state
        on state.endpoint = %(endpoint)s and state.client_id = clients.client_id
    where clients.registration_date is not null
),

steps as (
    select registration_date as day, count(*) as clients, 0 as pending, 0 as deferred
    from waiting
    group by registration_date
    union all
    select
        waits_from as day,
        0 as clients,
        count(*) filter (where is_pending) as pending,
        count(*) filter (where not is_pending) as deferred
    from waiting
    group by waits_from
    union all
    select series::date as day, 0 as clients, 0 as pending, 0 as deferred
    from generate_series(%(first)s::date, %(last)s::date, interval '1 day') as series
    union all
    select day, 0 as clients, 0 as pending, 0 as deferred
    from sync.window_days
    where endpoint = %(endpoint)s
),

counted as (
    select
        day,
        sum(sum(clients)) over (order by day) as clients,
        sum(sum(pending)) over (order by day) as pending,
        sum(sum(deferred)) over (order by day) as deferred
    from steps
    group by day
),

other_days as (
    update sync.window_days
    set clients = counted.clients, pending = counted.pending, deferred = counted.deferred
    from counted
    where
        window_days.endpoint = %(endpoint)s
        and window_days.day = counted.day
        and window_days.day not between %(first)s and %(last)s
        and (window_days.clients, window_days.pending, window_days.deferred)
        is distinct from (counted.clients, counted.pending, counted.deferred)
)

insert into sync.window_days (endpoint, day, run_id, published_at, clients, pending, deferred)
select %(endpoint)s, day, %(run_id)s, now(), clients, pending, deferred
from counted
where day between %(first)s and %(last)s
on conflict (endpoint, day) do update set
    run_id = excluded.run_id,
    published_at = excluded.published_at,
    clients = excluded.clients,
    pending = excluded.pending,
    deferred = excluded.deferred;
