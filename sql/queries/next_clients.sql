-- purpose: the next clients to read in a run, with what is known of each
-- parameters: run_id, endpoint, after_client, after_day (not used here), is_priority, most
select
    fetches.client_id,
    fetches.window_from as day,
    fetches.is_whole,
    coalesce(state.version, 0) as version,
    state.source_total,
    state.fingerprint,
    state.head,
    state.header_digest,
    exists (
        select from sync.quarantine
        where
            quarantine.endpoint = %(endpoint)s
            and quarantine.client_id = fetches.client_id
            and quarantine.resolved_at is null
    ) as has_bad_rows
from sync.fetches
left join sync.client_state as state
    on state.endpoint = %(endpoint)s and state.client_id = fetches.client_id
where
    fetches.run_id = %(run_id)s
    and fetches.status = 'pending'
    and fetches.is_priority = %(is_priority)s
    and fetches.client_id > %(after_client)s
    and %(after_day)s::date is not null
order by fetches.client_id
limit %(most)s;
