-- sync.request_pace: the times at which requests may be sent, for all processes together

-- name: reserve_requests
-- purpose: reserve send times for some requests; returns the first one and the time now, in seconds
-- parameters: spacing (seconds between two), count, priority (0 is first), is_more (others wait),
--   earliest (seconds from now to the first time, at least)
-- No reservation is made while requests of a lower priority number wait; the row stores until when
-- that holds. The first time is null then.
-- A commit that a crash of the server loses is past by the time it is up again. One statement, as
-- each round trip delays the process that asks.
insert into sync.request_pace as pace (next_at, first_at)
select
    clock_timestamp() + (%(earliest)s + %(spacing)s * %(count)s) * interval '1 second',
    clock_timestamp() + %(earliest)s * interval '1 second'
from set_config('synchronous_commit', 'off', true)
on conflict (pace_id) do update set
    first_at = case
        when
            (%(priority)s < 1 or pace.daily_until < clock_timestamp())
            and (%(priority)s < 2 or pace.backfill_until < clock_timestamp())
            then greatest(pace.next_at, excluded.first_at)
    end,
    next_at = case
        when
            (%(priority)s < 1 or pace.daily_until < clock_timestamp())
            and (%(priority)s < 2 or pace.backfill_until < clock_timestamp())
            then
                greatest(pace.next_at, excluded.first_at)
                + %(spacing)s * %(count)s * interval '1 second'
        else pace.next_at
    end,
    daily_until = case
        when
            %(priority)s = 0
            and (%(is_more)s or pace.next_at > excluded.first_at + interval '50 milliseconds')
            then
                greatest(pace.next_at, excluded.first_at)
                + %(spacing)s * %(count)s * interval '1 second' + interval '100 milliseconds'
        else pace.daily_until
    end,
    backfill_until = case
        when
            %(priority)s = 1
            and (%(is_more)s or pace.next_at > excluded.first_at + interval '50 milliseconds')
            then
                greatest(pace.next_at, excluded.first_at)
                + %(spacing)s * %(count)s * interval '1 second' + interval '100 milliseconds'
        else pace.backfill_until
    end
returning
    extract(epoch from pace.first_at)::float8 as first_at,
    extract(epoch from clock_timestamp())::float8 as now_at;
