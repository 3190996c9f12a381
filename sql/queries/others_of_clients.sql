-- purpose: a few clients that the service should answer for: proven before, and any of the run
-- parameters: run_id, endpoint, day (first day of the window)
-- Asked before a run stops. Those that fail are mostly at the head of the line, where the lowest
-- numbers are: so some are taken from the other end, and some at random.
with proven as (
    select
        state.client_id,
        %(day)s::date as day,
        state.version,
        state.source_total,
        state.fingerprint,
        state.head,
        state.header_digest
    from sync.client_state as state
    where
        state.endpoint = %(endpoint)s
        and state.read_at is not null
        and state.pending_since is null
        and not exists (
            select from sync.fetches
            where
                fetches.run_id = %(run_id)s
                and fetches.client_id = state.client_id
                and fetches.status in ('unproven', 'failed')
        )
),

on_ledger as (
    select
        client_id,
        window_from as day,
        0 as version,
        null::integer as source_total,
        null::bytea as fingerprint,
        null::bytea as head,
        null::bytea as header_digest
    from sync.fetches
    where run_id = %(run_id)s and status in ('pending', 'done')
)

(select * from proven order by client_id desc limit 2)
union all
(select * from proven order by random() limit 2)
union all
(select * from on_ledger order by client_id desc limit 1)
union all
(select * from on_ledger order by random() limit 2);
