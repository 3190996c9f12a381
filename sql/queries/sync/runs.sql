-- sync.runs: one reading of a feed for a window

-- name: begin_run
-- purpose: begin a run of a feed for a window
-- parameters: feed, first, last
-- tag: run-begun
insert into sync.runs (feed, window_from, window_to)
values (%(feed)s, %(first)s, %(last)s)
returning run_id;

-- name: close_run
-- purpose: record how a run ended, and when
-- parameters: run_id, status, error
-- tag: run-closed
update sync.runs
set status = %(status)s, error = %(error)s, finished_at = now()
where run_id = %(run_id)s;

-- name: settle_run
-- purpose: count on the run what a publish did
-- parameters: run_id, written, deleted
update sync.runs
set
    rows_written = rows_written + %(written)s,
    rows_deleted = rows_deleted + %(deleted)s,
    rows_read = counted.rows_read,
    quarantined = counted.quarantined,
    pending = counted.pending
from (
    select
        coalesce(sum(staged), 0) as rows_read,
        coalesce(sum(quarantined), 0) as quarantined,
        count(*) filter (where status in ('pending', 'unproven', 'failed')) as pending
    from sync.fetches
    where run_id = %(run_id)s
) as counted
where runs.run_id = %(run_id)s;

-- name: report_run
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

-- name: defer_clients
-- purpose: count on the run the clients that were not due; see schedule_clients
-- parameters: run_id
update sync.runs
set deferred = (
    select count(*)
    from scheduled
    where not exists (
        select from sync.fetches
        where fetches.run_id = runs.run_id and fetches.client_id = scheduled.client_id
    )
)
where runs.run_id = %(run_id)s;

-- name: is_syncing
-- purpose: whether a sync reads, or has ended just now
-- parameters: lock_class (of runs), quiet (seconds)
select
    exists (
        select from pg_locks
        where
            locktype = 'advisory'
            and classid = %(lock_class)s
            and objsubid = 2
            and granted
            and database = (select oid from pg_database where datname = current_database())
    )
    or exists (
        select from (select finished_at from sync.runs order by run_id desc limit 20) as recent
        where recent.finished_at > now() - make_interval(secs => %(quiet)s)
    ) as is_syncing;
