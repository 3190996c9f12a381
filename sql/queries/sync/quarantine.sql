-- sync.quarantine: rows that do not fit the payload definition

-- name: quarantine_row
-- purpose: store a row that does not fit the payload definition, once
-- parameters: feed, client_id, day, digest, table, reason, raw, context, run_id
-- A row that was resolved lost its content; if it comes back, it is as new.
insert into sync.quarantine as held
    (feed, client_id, day, row_digest, table_name, reason, raw, context, sync_run_id)
values
    (%(feed)s, %(client_id)s, %(day)s, %(digest)s, %(table)s, %(reason)s, %(raw)s, %(context)s,
        %(run_id)s)
on conflict (
    feed, row_digest, coalesce(client_id, 0), coalesce(day, date '-infinity'), context
) do update set
    first_seen_at = case when held.resolved_at is null then held.first_seen_at else now() end,
    resolved_at = null,
    raw = excluded.raw,
    reason = excluded.reason,
    sync_run_id = excluded.sync_run_id;

-- name: withdraw_quarantine
-- purpose: delete the rows that a run put into quarantine for tasks that it reads again
-- parameters: run_id, tasks
-- Otherwise a reading that is not proven in the end would leave rows that no proven total includes.
-- Clients and days are joined apart, as below: it runs for each batch of tasks that are read again.
with again as (
    select
        runs.run_id,
        runs.feed,
        runs.started_at,
        fetches.client_id,
        fetches.day
    from sync.runs
    inner join sync.fetches on fetches.run_id = runs.run_id
    where runs.run_id = %(run_id)s and fetches.task_id = any(%(tasks)s)
)

delete from sync.quarantine
where quarantine_id in (
    select held.quarantine_id
    from again
    inner join sync.quarantine as held
        on held.feed = again.feed and held.client_id = again.client_id
    where
        held.resolved_at is null
        and held.sync_run_id = again.run_id
        and held.first_seen_at >= again.started_at
    union all
    select held.quarantine_id
    from again
    inner join sync.quarantine as held on held.feed = again.feed and held.day = again.day
    where
        held.resolved_at is null
        and held.sync_run_id = again.run_id
        and held.first_seen_at >= again.started_at
);

-- name: resolve_quarantine
-- purpose: close quarantined rows that a new reading of their scope no longer contained
-- parameters: run_id, feed
-- The scope of a row is its registration day or its client's list; for goods it is the offer, which
-- is not read again while it appears unchanged; for a header, the header. The content of the row is
-- deleted then: it is of no more use, and may be personal data.
-- Clients and days are joined apart: with one condition for both, Postgres compares each row with each
-- task.
update sync.quarantine
set resolved_at = now(), raw = ''
from (
    select held.quarantine_id
    from sync.quarantine as held
    inner join publishing on publishing.client_id = held.client_id
    where
        held.feed = %(feed)s
        and held.resolved_at is null
        and held.sync_run_id <> %(run_id)s
        and case held.context
            when 'header' then publishing.has_header
            when '' then publishing.reading = 'full'
            else publishing.is_whole and publishing.reading = 'full'
        end
    union all
    select held.quarantine_id
    from sync.quarantine as held
    inner join publishing on publishing.day = held.day
    where
        held.feed = %(feed)s
        and held.resolved_at is null
        and held.sync_run_id <> %(run_id)s
        and publishing.reading = 'full'
) as resolved
where quarantine.quarantine_id = resolved.quarantine_id;

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

-- name: disclosed_quarantine
-- purpose: the quarantined rows of a client, and those that name no client but its card or phone, as JSON
-- parameters: client_id, pattern (pattern_of_numbers)
select row_to_json(held.*)::text collate "C" as disclosed
from sync.quarantine as held
where
    held.client_id = %(client_id)s
    or (held.client_id is null and held.raw ~ %(pattern)s::text)
order by disclosed;
