-- purpose: which clients of the roster a run asks, and which of them it reads in full
-- parameters: endpoint, first, last, audit_share, max_staleness, quiet_days
-- A client that has been quiet for long is due each `pause` days: one day for each quiet_days that
-- its last change is past, at most max_staleness. Its turn comes on every pause-th day, counted from
-- a day of its own, so that each day has its share of clients; it is due when its turn came since its
-- last reading, whether a run took place then or not. Everyone else is due in each run.
-- The audit takes a moving arc of clients: each has a fixed phase in [0, 1) by a hash, and each day
-- moves the arc on by audit_share, so that every client is met once in 1 / audit_share days. Who was
-- not due when the arc passed is read in full at the next reading.
create temp table scheduled on commit drop as
with synced as (
    select max(day) as day
    from sync.window_days
    where endpoint = %(endpoint)s and day < %(first)s
),

roster as (
    select
        clients.client_id,
        coalesce(state.source_total, 0) as source_total,
        state.read_at is not null as is_known,
        state.pending_since is not null as is_priority,
        state.proven_date,
        least(
            greatest((%(last)s::date - state.changed_date) / %(quiet_days)s::integer, 1),
            greatest(%(max_staleness)s::integer, 1)
        ) as pause,
        (hashint8extended(clients.client_id, 1) & 65535)::integer as own_day,
        (hashint8(clients.client_id)::bigint & 2147483647) / 2147483648.0 as phase,
        state.fingerprint is null
        or state.pending_since is not null
        or exists (
            select from sync.quarantine
            where
                quarantine.endpoint = %(endpoint)s
                and quarantine.client_id = clients.client_id
                and quarantine.resolved_at is null
        ) as is_unsettled
    from core.clients
    left join sync.client_state as state
        on state.endpoint = %(endpoint)s and state.client_id = clients.client_id
    where clients.registration_date <= %(last)s
),

dated as (
    select
        roster.*,
        %(last)s::date - date '2000-01-01' as today,
        roster.proven_date - date '2000-01-01' as proven_day,
        case when %(max_staleness)s::integer > 1
            then synced.day - roster.proven_date else 0
        end as missed_days
    from roster
    cross join synced
)

select
    client_id,
    source_total,
    is_known,
    is_priority,
    is_unsettled
    or coalesce(pause = 1, true)
    or coalesce((today + own_day) / pause > (proven_day + own_day) / pause, true) as is_due,
    (phase - (%(first)s::date - date '2000-01-01') * %(audit_share)s::numeric %% 1 + 1) %% 1
    < %(audit_share)s::numeric * (%(last)s::date - %(first)s::date + 1)
    or coalesce(
        (phase - (proven_day + 1) * %(audit_share)s::numeric %% 1 + 1) %% 1
        < %(audit_share)s::numeric * missed_days,
        false
    ) as is_whole
from dated;
