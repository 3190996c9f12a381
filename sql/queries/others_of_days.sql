-- purpose: a few registration days that the service should answer for: polled before, latest first
-- parameters: run_id, endpoint (not used here), day (not used here); see others_of_clients
select
    0 as client_id,
    state.registration_date as day,
    state.version,
    state.source_total,
    state.fingerprint,
    state.head,
    state.header_digest
from sync.registration_days as state
where
    state.read_at is not null
    and state.pending_since is null
    and %(endpoint)s::text is not null
    and %(day)s::date is not null
    and not exists (
        select from sync.fetches
        where
            fetches.run_id = %(run_id)s
            and fetches.window_from = state.registration_date
            and fetches.status in ('unproven', 'failed')
    )
order by state.registration_date desc
limit 3;
