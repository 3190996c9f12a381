-- purpose: what a run did, as its report tells it
-- parameters: run_id, endpoint
select
    runs.clients,
    (
        select count(*) from sync.fetches
        where fetches.run_id = runs.run_id and fetches.status in ('pending', 'unproven', 'failed')
    ) as pending,
    runs.deferred,
    runs.rows_read,
    runs.rows_written,
    runs.rows_deleted,
    (
        select count(*) from sync.quarantine
        where quarantine.endpoint = runs.feed and quarantine.resolved_at is null
    ) as quarantined,
    runs.requests,
    runs.retries,
    array(
        select unknown_fields.field_name from sync.unknown_fields
        where
            unknown_fields.endpoint = runs.feed
            and unknown_fields.first_seen_at >= runs.started_at
        order by unknown_fields.field_name
        limit 1000
    ) as unknown_fields
from sync.runs
where runs.run_id = %(run_id)s;
