-- purpose: a few clients that the service should answer for: proven before, else any of the run
-- parameters: run_id, endpoint, day (first day of the window), most
-- Asked before a run stops: clients that are refused for good are pending, and are read first.
(
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
    limit %(most)s
)
union all
(
    select
        client_id,
        window_from as day,
        0 as version,
        null as source_total,
        null as fingerprint,
        null as head,
        null as header_digest
    from sync.fetches
    where run_id = %(run_id)s and status in ('pending', 'done')
    order by random()
    limit %(most)s
)
limit %(most)s;
