-- purpose: decide for each registration day that a run has polled whether the publish may take it
-- parameters: run_id, endpoint (not used here); see judge_clients
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
left join sync.registration_days as state on state.registration_date = fetches.window_from
where fetches.run_id = %(run_id)s and fetches.status = 'done' and %(endpoint)s::text is not null;
