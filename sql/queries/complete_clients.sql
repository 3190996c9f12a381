-- purpose: how complete each day of the window is, for a feed that reads clients
-- parameters: run_id, endpoint, first, last
with by_day as (
    select
        clients.registration_date as day,
        count(*) as clients,
        count(*) filter (
            where state.read_at is null or state.pending_since is not null
        ) as pending
    from core.clients
    left join sync.client_state as state
        on state.endpoint = %(endpoint)s and state.client_id = clients.client_id
    where clients.registration_date <= %(last)s
    group by clients.registration_date
),

days as (
    select series::date as day
    from generate_series(%(first)s::date, %(last)s::date, interval '1 day') as series
),

counted as (
    select
        day,
        sum(sum(clients)) over (order by day) as clients,
        sum(sum(pending)) over (order by day) as pending
    from (
        select day, clients, pending from by_day
        union all
        select day, 0 as clients, 0 as pending from days
    ) as together
    group by day
)

insert into sync.window_days (endpoint, day, run_id, published_at, clients, pending)
select %(endpoint)s, days.day, %(run_id)s, now(), counted.clients, counted.pending
from days
inner join counted on counted.day = days.day
on conflict (endpoint, day) do update set
    run_id = excluded.run_id,
    published_at = excluded.published_at,
    clients = excluded.clients,
    pending = excluded.pending;
