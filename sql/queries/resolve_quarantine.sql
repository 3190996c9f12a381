-- purpose: close quarantined rows that a reading of their place no longer met
-- parameters: run_id, endpoint
-- The place of a row is its client's list or its registration day; of a good, its offer, which is
-- not asked again while it looks unchanged; of a header, the header.
update sync.quarantine
set resolved_at = now()
from publishing
where
    quarantine.endpoint = %(endpoint)s
    and quarantine.resolved_at is null
    and quarantine.sync_run_id <> %(run_id)s
    and publishing.client_id
    = case %(endpoint)s::text when 'registrations' then 0 else quarantine.client_id end
    and case
        when publishing.client_id = 0
            then publishing.reading = 'full' and quarantine.context = publishing.window_from::text
        when quarantine.context = 'header' then publishing.has_header
        when quarantine.context = '' then publishing.reading = 'full'
        else publishing.is_whole and publishing.reading = 'full'
    end;
