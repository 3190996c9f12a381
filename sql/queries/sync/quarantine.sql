-- sync.quarantine: rows that do not fit the contract

-- name: quarantine_row
-- purpose: keep a row that does not fit the contract, once
-- parameters: endpoint, client_id, digest, table, reason, raw, context, run_id
insert into sync.quarantine
    (endpoint, client_id, row_digest, table_name, reason, raw, context, sync_run_id)
values
    (%(endpoint)s, %(client_id)s, %(digest)s, %(table)s, %(reason)s, %(raw)s, %(context)s,
        %(run_id)s)
on conflict (endpoint, client_id, row_digest, context) do update set
    resolved_at = null,
    reason = excluded.reason,
    sync_run_id = excluded.sync_run_id;

-- name: withdraw_quarantine
-- purpose: forget the rows that a run put into quarantine for readings that it does again
-- parameters: run_id, clients, days (one of each for a reading; see resolve_quarantine)
-- Else a reading that is not proven in the end would leave rows that no proven total counts.
delete from sync.quarantine
using
    sync.runs,
    unnest(%(clients)s::bigint[], %(days)s::date[]) as again (client_id, day)
where
    runs.run_id = %(run_id)s
    and quarantine.endpoint = runs.feed
    and quarantine.sync_run_id = runs.run_id
    and quarantine.first_seen_at >= runs.started_at
    and case
        when again.client_id = 0 then quarantine.context = again.day::text
        else quarantine.client_id = again.client_id
    end;

-- name: resolve_quarantine
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
