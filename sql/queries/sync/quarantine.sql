-- sync.quarantine: rows that do not fit the payload definition

-- name: quarantine_row
-- purpose: store a row that does not fit the payload definition, once
-- parameters: feed, client_id, day, digest, table, reason, raw, context, run_id
insert into sync.quarantine
    (feed, client_id, day, row_digest, table_name, reason, raw, context, sync_run_id)
values
    (%(feed)s, %(client_id)s, %(day)s, %(digest)s, %(table)s, %(reason)s, %(raw)s, %(context)s,
        %(run_id)s)
on conflict (
    feed, row_digest, coalesce(client_id, 0), coalesce(day, date '-infinity'), context
) do update set
    resolved_at = null,
    reason = excluded.reason,
    sync_run_id = excluded.sync_run_id;

-- name: withdraw_quarantine
-- purpose: delete the rows that a run put into quarantine for tasks that it reads again
-- parameters: run_id, tasks
-- Otherwise a reading that is not proven in the end would leave rows that no proven total includes.
delete from sync.quarantine
using sync.runs, sync.fetches as again
where
    runs.run_id = %(run_id)s
    and again.run_id = runs.run_id
    and again.task_id = any(%(tasks)s)
    and quarantine.feed = runs.feed
    and quarantine.sync_run_id = runs.run_id
    and quarantine.first_seen_at >= runs.started_at
    and (quarantine.day = again.day or quarantine.client_id = again.client_id);

-- name: resolve_quarantine
-- purpose: close quarantined rows that a new reading of their scope no longer contained
-- parameters: run_id, feed
-- The scope of a row is its registration day or its client's list; for goods it is the offer, which
-- is not read again while it appears unchanged; for a header, the header. The content of the row is
-- deleted then: it is of no more use, and may be personal data.
update sync.quarantine
set resolved_at = now(), raw = ''
from publishing
where
    quarantine.feed = %(feed)s
    and quarantine.resolved_at is null
    and quarantine.sync_run_id <> %(run_id)s
    and case
        when publishing.day is not null
            then quarantine.day = publishing.day and publishing.reading = 'full'
        when quarantine.client_id is distinct from publishing.client_id then false
        when quarantine.context = 'header' then publishing.has_header
        when quarantine.context = '' then publishing.reading = 'full'
        else publishing.is_whole and publishing.reading = 'full'
    end;

-- name: quarantined_rows
-- purpose: the rows in open quarantine, since when and why; never the content of a row
select
    quarantine.feed,
    quarantine.client_id,
    quarantine.day,
    quarantine.table_name,
    quarantine.context,
    quarantine.first_seen_at as since,
    quarantine.reason
from sync.quarantine
inner join sync.feeds on feeds.feed = quarantine.feed
where quarantine.resolved_at is null
order by feeds.position, quarantine.quarantine_id;
