-- purpose: put every client registered by the end of the window on the ledger of a run, once
-- parameters: run_id, endpoint, first, last, audit_share
-- The audit takes a moving arc of clients: each has a fixed phase in [0, 1) by a hash, and each day
-- moves the arc on by audit_share, so that every client is met once in 1 / audit_share days.
with roster as (
    select
        clients.client_id,
        (hashint8(clients.client_id)::bigint & 2147483647) / 2147483648.0 as phase,
        state.pending_since is not null as is_priority
    from core.clients
    left join sync.client_state as state
        on state.endpoint = %(endpoint)s and state.client_id = clients.client_id
    where clients.registration_date <= %(last)s
),

arc as (
    select
        ((%(first)s::date - date '2000-01-01') * %(audit_share)s::numeric) %% 1 as starts_at,
        %(audit_share)s::numeric * (%(last)s::date - %(first)s::date + 1) as breadth
)

insert into sync.fetches (run_id, client_id, window_from, window_to, endpoint, is_whole, is_priority)
select
    %(run_id)s,
    roster.client_id,
    %(first)s,
    %(last)s,
    %(endpoint)s,
    (roster.phase - arc.starts_at + 1) %% 1 < arc.breadth,
    roster.is_priority
from roster
cross join arc
on conflict do nothing;
