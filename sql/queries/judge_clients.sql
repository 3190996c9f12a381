-- purpose: decide for each client that a run has read whether the publish may take it
-- parameters: run_id, endpoint
-- `again`: staging lost its records, the state moved on and this reading builds on the old one, or
-- somebody published a newer reading that says otherwise: which is right, a third one tells.
-- `superseded`: somebody published a newer reading of the client that says the same.
create temp table judged on commit drop as
select
    fetches.*,
    coalesce(state.source_total, 0) as known_total,
    case
        when state.read_at >= fetches.read_at and (
            fetches.reading = 'unchanged'
            or (fetches.rows, fetches.fingerprint)
            is not distinct from (state.source_total, state.fingerprint)
        ) then 'superseded'
        when state.read_at >= fetches.read_at then 'again'
        when coalesce(counts.staged, 0) <> fetches.staged then 'again'
        when coalesce(state.version, 0) = fetches.base_version then 'take'
        when fetches.reading = 'full' then 'take'
        else 'again'
    end as verdict
from sync.fetches
left join staged_counts as counts
    on counts.fetch_id = fetches.client_id and counts.fetch_day = fetches.window_from
left join sync.client_state as state
    on state.endpoint = %(endpoint)s and state.client_id = fetches.client_id
where fetches.run_id = %(run_id)s and fetches.status = 'done';
