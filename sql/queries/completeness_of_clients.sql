-- purpose: clients registered by the end of a window, and those of them not proven
-- parameters: endpoint, first (not used here), last
select
    count(*) as clients,
    count(*) filter (where state.read_at is null or state.pending_since is not null) as pending
from core.clients
left join sync.client_state as state
    on state.endpoint = %(endpoint)s and state.client_id = clients.client_id
where clients.registration_date <= %(last)s and %(first)s::date is not null;
