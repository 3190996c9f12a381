-- sync.registration_days: what is proven of each registration day

-- name: remember_days
-- purpose: the proven state of the registration days that a publish took, and which are pending
-- parameters: run_id
-- tag: state-updated
insert into sync.registration_days as state (
    registration_date, source_total, fingerprint, head, header_digest, quarantined, version,
    read_at, pending_since, last_error
)
select
    window_from, rows, fingerprint, head, header_digest, quarantined, 1, read_at, null, null
from publishing
on conflict (registration_date) do update set
    source_total = excluded.source_total,
    fingerprint = excluded.fingerprint,
    quarantined = excluded.quarantined,
    version = state.version + (
        (state.source_total, state.fingerprint)
        is distinct from (excluded.source_total, excluded.fingerprint)
    )::integer,
    read_at = greatest(state.read_at, excluded.read_at),
    pending_since = null,
    last_error = null;

-- name: leave_pending_days
-- purpose: remember which registration days a run could not prove
-- parameters: run_id
insert into sync.registration_days as state (registration_date, pending_since, last_error)
select window_from, now(), coalesce(error, 'it changed while it was published')
from sync.fetches
where run_id = %(run_id)s and status in ('pending', 'unproven', 'failed')
on conflict (registration_date) do update set
    pending_since = coalesce(state.pending_since, excluded.pending_since),
    last_error = excluded.last_error;
