-- purpose: the next registration days to poll in a run, with what is known of each
-- parameters: run_id, endpoint (not used here), after_client (not used here), after_day, is_priority, most
select
    fetches.client_id,
    fetches.window_from as day,
    fetches.is_whole,
    coalesce(state.version, 0) as version,
    state.source_total,
    state.fingerprint,
    state.head,
    state.header_digest
from sync.fetches
left join sync.registration_days as state on state.registration_date = fetches.window_from
where
    fetches.run_id = %(run_id)s
    and fetches.status = 'pending'
    and fetches.is_priority = %(is_priority)s
    and fetches.window_from > %(after_day)s
    and %(endpoint)s::text is not null
    and %(after_client)s::bigint is not null
order by fetches.window_from
limit %(most)s;
