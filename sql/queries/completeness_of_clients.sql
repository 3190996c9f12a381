-- purpose: clients registered by the end of a window, and those of them not read since: see complete_clients
-- parameters: endpoint, first (not used here), last
with waiting as (
    select
        state.read_at is null or state.pending_since is not null as is_pending,
        coalesce(state.proven_date < %(last)s, true) as is_waiting
    from core.clients
    left join sync.client_state as state
        on state.endpoint = %(endpoint)s and state.client_id = clients.client_id
    where clients.registration_date <= %(last)s and %(first)s::date is not null
)

select
    count(*) as clients,
    count(*) filter (where is_waiting and is_pending) as pending,
    count(*) filter (where is_waiting and not is_pending) as deferred
from waiting;
