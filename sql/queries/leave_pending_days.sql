-- purpose: remember which registration days a run could not prove
-- parameters: run_id
insert into sync.registration_days as state (registration_date, pending_since, last_error)
select window_from, now(), coalesce(error, 'it changed while it was published')
from sync.fetches
where run_id = %(run_id)s and status in ('pending', 'unproven', 'failed')
on conflict (registration_date) do update set
    pending_since = coalesce(state.pending_since, excluded.pending_since),
    last_error = excluded.last_error;
