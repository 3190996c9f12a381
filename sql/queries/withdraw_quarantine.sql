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
