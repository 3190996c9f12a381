-- purpose: remember which clients a run could not prove
-- parameters: run_id, endpoint
insert into sync.client_state as state (endpoint, client_id, pending_since, last_error)
select %(endpoint)s, client_id, now(), coalesce(error, 'it changed while it was published')
from sync.fetches
where run_id = %(run_id)s and status in ('pending', 'unproven', 'failed')
on conflict (endpoint, client_id) do update set
    pending_since = coalesce(state.pending_since, excluded.pending_since),
    last_error = excluded.last_error;
