-- sync.request_slots: which of the slots of LCM_MAX_IN_FLIGHT each session holds

-- name: forget_lost_slots
-- purpose: free the slots of sessions that have ended, and of processes that are stopped
-- parameters: most_silent (seconds after which a process is taken for stopped)
delete from sync.request_slots
where
    reported_at < clock_timestamp() - %(most_silent)s * interval '1 second'
    or session_pid <> all(
        select session_locks.session_pid from sync.session_locks
        where session_locks.kind = 'requests' and session_locks.lock_id = session_locks.session_pid
    );

-- name: read_slots
-- purpose: the slots that each live session wants and holds, and whether it is this one
select
    priority,
    wanted,
    held,
    session_pid = pg_backend_pid() as is_own
from sync.request_slots
order by session_pid;

-- name: want_slots
-- purpose: record the slots that this session wants, and return the current second;
-- it holds none before store_slots
-- parameters: priority, wanted, in_flight
insert into sync.request_slots as slots (session_pid, priority, wanted, held, reported_at)
values (pg_backend_pid(), %(priority)s, %(wanted)s, 0, clock_timestamp())
on conflict (session_pid) do update set
    priority = excluded.priority,
    wanted = excluded.wanted,
    reported_at = excluded.reported_at,
    -- Slots that it does not use are free for other sessions.
    held = least(slots.held, greatest(%(in_flight)s, 0))
returning extract(epoch from clock_timestamp())::bigint;

-- name: store_slots
-- purpose: record the slots that this session holds from now on
-- parameters: held
update sync.request_slots
set held = %(held)s
where session_pid = pg_backend_pid();
