-- sync.request_pace: the times at which requests may be sent, for all processes together

-- name: reserve_requests
-- purpose: reserve send times for some requests; returns the first one and the time now, in seconds
-- parameters: spacing (seconds between two), count, priority (0 is first), is_more (others wait),
--   earliest (seconds from now to the first time, at least)
-- No reservation is made while requests of a lower priority number wait; the row stores until when
-- that holds. The first time is null then.
-- What lies further ahead than a minute and a hundred requests was stored before the clock of the
-- server was set back: that many processes, each with a fraction of a second, never wait. It is ignored.
-- A commit that a crash of the server loses is past by the time it is up again. One statement, as
-- each round trip delays the process that asks.
insert into sync.request_pace as pace (next_at, first_at)
select
    clock_timestamp() + (%(earliest)s + %(spacing)s * %(count)s) * interval '1 second',
    clock_timestamp() + %(earliest)s * interval '1 second'
from set_config('synchronous_commit', 'off', true)
on conflict (pace_id) do update set (first_at, next_at, daily_until, backfill_until) = (
    select
        case when turn.has_come then turn.first_at end,
        case when turn.has_come then turn.first_at + limits.taken else pace.next_at end,
        case
            when %(priority)s = 0 and turn.leaves_others_waiting
                then turn.first_at + limits.taken + interval '100 milliseconds'
            else pace.daily_until
        end,
        case
            when %(priority)s = 1 and turn.leaves_others_waiting
                then turn.first_at + limits.taken + interval '100 milliseconds'
            else pace.backfill_until
        end
    from (
        select
            clock_timestamp() + (60 + 100 * %(spacing)s) * interval '1 second' as last_at,
            %(spacing)s * %(count)s * interval '1 second' as taken
    ) as limits
    cross join lateral (
        select
            greatest(
                case when pace.next_at <= limits.last_at then pace.next_at end, excluded.first_at
            ) as first_at,
            (
                %(priority)s < 1
                or pace.daily_until not between clock_timestamp() and limits.last_at
            )
            and (
                %(priority)s < 2
                or pace.backfill_until not between clock_timestamp() and limits.last_at
            ) as has_come,
            (
                %(is_more)s
                or pace.next_at > excluded.first_at + interval '50 milliseconds'
            ) as leaves_others_waiting
    ) as turn
)
returning
    extract(epoch from pace.first_at)::float8 as first_at,
    extract(epoch from clock_timestamp())::float8 as now_at;
