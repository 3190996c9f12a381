-- sync.request_pace: the moments at which requests may leave, over all processes

-- name: reserve_requests
-- purpose: reserve the next moments for some requests; returns how long it is until the first one
-- parameters: spacing (seconds between two), count
insert into sync.request_pace as pace (next_at)
values (clock_timestamp() + %(spacing)s * %(count)s * interval '1 second')
on conflict (pace_id) do update set
    next_at = greatest(pace.next_at, clock_timestamp())
    + %(spacing)s * %(count)s * interval '1 second'
returning
    extract(epoch from pace.next_at - clock_timestamp())::float8 - %(spacing)s * %(count)s as delay;
