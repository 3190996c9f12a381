-- purpose: close quarantined rows that a whole reading no longer met
-- parameters: run_id, endpoint
update sync.quarantine
set resolved_at = now()
from publishing
where
    quarantine.endpoint = %(endpoint)s
    and quarantine.resolved_at is null
    and quarantine.sync_run_id <> %(run_id)s
    and publishing.reading = 'full'
    and (
        (publishing.client_id > 0 and quarantine.client_id = publishing.client_id)
        or (publishing.client_id = 0 and quarantine.context = publishing.window_from::text)
    );
