-- sync.runs: one reading of a feed for a window

-- name: has_published_rows
-- purpose: whether any sync has published a row, so that there is something for the marts to show
select exists (
    select from sync.runs
    where status = 'published' and rows_written + rows_deleted > 0
) as has_rows;

-- name: find_published_run
-- purpose: the run that a command has published of a feed
-- parameters: command_id, feed, fresh_from (earlier readings are too old)
select run_id
from sync.command_runs
where
    command_id = %(command_id)s
    and feed = %(feed)s
    and status = 'published'
    and started_at >= %(fresh_from)s
order by run_id desc
limit 1;

-- name: runs_of_command
-- purpose: the last run that a command has published of each feed, in the order of the feeds
-- parameters: command_id
select
    run_id,
    feed,
    started_at,
    finished_at
from (
    select distinct on (runs.feed)
        runs.run_id,
        runs.feed,
        runs.started_at,
        runs.finished_at,
        feeds.position
    from sync.command_runs as runs
    inner join sync.feeds on feeds.feed = runs.feed
    where runs.command_id = %(command_id)s and runs.status = 'published'
    order by runs.feed asc, runs.run_id desc
) as newest
order by position;

-- name: progress_of_command
-- purpose: the progress of each run of a command
-- parameters: command_id
select
    runs.feed,
    count(*) as tasks,
    count(*) filter (where fetches.status not in ('pending', 'unproven', 'failed')) as read,
    count(*) filter (where fetches.status in ('unproven', 'failed')) as failed
from sync.command_runs as runs
inner join sync.fetches on fetches.run_id = runs.run_id
where runs.command_id = %(command_id)s
group by runs.run_id, runs.feed
order by runs.run_id;

-- name: silent_readers
-- purpose: sessions that work on a run of a command, and whose client has sent nothing for a while
-- parameters: command_id, seconds
select
    runs.feed,
    activity.pid,
    coalesce(host(activity.client_addr) || ':' || activity.client_port, 'a socket') as address,
    activity.state_change as since
from sync.command_runs as runs
inner join sync.session_locks
    on session_locks.kind = 'run' and session_locks.lock_id = runs.run_id
inner join pg_stat_activity as activity on activity.pid = session_locks.session_pid
where
    runs.command_id = %(command_id)s
    and activity.wait_event_type = 'Client'
    and activity.state_change < clock_timestamp() - make_interval(secs => %(seconds)s)
order by runs.feed, activity.pid;

-- name: abandon_outdated_runs
-- purpose: abandon unfinished runs whose days a later run of the feed has covered; returns them
-- Runs that a live process works on are left as they are. A run without a command covers nothing: it
-- has read some clients again, or days that were missing.
update sync.runs
set status = 'abandoned', finished_at = now(), error = 'a later run covers its days'
where
    status = 'reading'
    and exists (
        select from sync.runs as later
        where
            later.feed = runs.feed
            and later.status = 'published'
            and later.command_id is not null
            and later.started_at > runs.started_at
            and later.window_to >= runs.window_to
    )
    and not exists (
        select from sync.session_locks
        where session_locks.kind = 'run' and session_locks.lock_id = runs.run_id
    )
returning run_id;

-- name: begin_run
-- purpose: begin a run of a feed for a window, unless one is unfinished
-- parameters: feed, first, last
-- tag: run-begun
insert into sync.runs (feed, window_from, window_to)
values (%(feed)s, %(first)s, %(last)s)
on conflict do nothing
returning run_id;

-- name: find_run
-- purpose: the unfinished run of a feed for a window
-- parameters: feed, first, last
select run_id
from sync.runs
where
    feed = %(feed)s and window_from = %(first)s and window_to = %(last)s and status = 'reading';

-- name: assign_run
-- purpose: record the command that a run belongs to; one that joins it without a command takes none away
-- parameters: run_id, command_id (null for none)
update sync.runs
set command_id = %(command_id)s
where
    run_id = %(run_id)s
    and %(command_id)s::bigint is not null
    and command_id is distinct from %(command_id)s;

-- name: lock_run
-- purpose: the status of a run; locks it until the end of the transaction
-- parameters: run_id
select status from sync.runs
where run_id = %(run_id)s
for update;

-- name: run_status
-- purpose: the status of a run
-- parameters: run_id
select status from sync.runs
where run_id = %(run_id)s;

-- name: close_run
-- purpose: record the final status of a run, and the time
-- parameters: run_id, status, error
-- tag: run-closed
update sync.runs
set status = %(status)s, error = %(error)s, finished_at = now()
where run_id = %(run_id)s and status = 'reading';

-- name: make_staging
-- purpose: create the staging table of a run for a table of core; one with other columns is dropped
-- parameters: run_id, table_name, column_names, column_types (in the same order)
select sync.make_staging(
    %(run_id)s, %(table_name)s, %(column_names)s::text[], %(column_types)s::text[]
);

-- name: index_staging
-- purpose: index a staging table by task
-- parameters: run_id, table_name
select sync.index_staging(%(run_id)s, %(table_name)s);

-- name: delete_staged_rows
-- purpose: delete what a run staged for some tasks, as it is staged again
-- parameters: tasks
-- {table}: a staging table of the run
delete from {table}
where task_id = any(%(tasks)s);

-- name: drop_staging
-- purpose: drop the staging tables of a run
-- parameters: run_id
select sync.drop_staging(%(run_id)s);

-- name: staging_columns
-- purpose: the columns of a staging table, in order; null if there is none
-- parameters: name
select array_agg(attname::text order by attnum)
from pg_attribute
where attrelid = to_regclass('staging.' || %(name)s) and attnum > 0 and not attisdropped;

-- name: add_request_counts
-- purpose: add what a process has sent to the counts of a run
-- parameters: run_id, requests, retries
update sync.runs
set requests = requests + %(requests)s, retries = retries + %(retries)s
where run_id = %(run_id)s;

-- name: store_task_counts
-- purpose: store the number of tasks on a run; returns it, and the number of tasks not read yet
-- parameters: run_id
update sync.runs
set clients = counted.tasks
from (
    select
        count(*) as tasks,
        count(*) filter (where status = 'pending') as pending
    from sync.fetches
    where run_id = %(run_id)s
) as counted
where runs.run_id = %(run_id)s
returning
    counted.tasks,
    counted.pending;

-- name: store_publish_counts
-- purpose: store the counts of a publish on the run
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

-- name: begin_batches
-- purpose: publish a run in batches from now on, if that is allowed; no row if not
-- parameters: run_id, batch_rows
-- It is allowed if no run of the feed was ever published, and the run has more rows than a batch.
update sync.runs
set publishing_since = coalesce(publishing_since, now())
where
    run_id = %(run_id)s
    and status = 'reading'
    and not exists (
        select from sync.runs as others
        where others.feed = runs.feed and others.status = 'published'
    )
    and (
        publishing_since is not null
        or (
            select sum(fetches.staged) from sync.fetches
            where fetches.run_id = runs.run_id and fetches.status = 'done'
        ) > %(batch_rows)s
    )
returning run_id;

-- name: is_in_batches
-- purpose: whether a run is published in batches, and no run of its feed was published meanwhile
-- parameters: run_id
select
    status = 'reading'
    and publishing_since is not null
    and not exists (
        select from sync.runs as others
        where others.feed = runs.feed and others.status = 'published'
    ) as is_in_batches
from sync.runs
where run_id = %(run_id)s
for update;

-- name: add_batch_rows
-- purpose: add the rows of a batch to the counts of the run
-- parameters: run_id, written
-- tag: batch-published
update sync.runs
set rows_written = rows_written + %(written)s
where run_id = %(run_id)s;

-- name: report_run
-- purpose: the counts of a run, for its report
-- parameters: run_id
-- What is still to be published when a run ends was not published.
select
    runs.clients,
    (
        select count(*) from sync.fetches
        where
            fetches.run_id = runs.run_id
            and (
                fetches.status in ('pending', 'unproven', 'failed')
                or (fetches.status = 'done' and runs.status = 'published')
            )
    ) as pending,
    runs.deferred,
    runs.rows_read,
    runs.rows_written,
    runs.rows_deleted,
    (
        select count(*) from sync.quarantine
        where quarantine.feed = runs.feed and quarantine.resolved_at is null
    ) as quarantined,
    runs.requests,
    runs.retries,
    array(
        select unknown_fields.field_name from sync.unknown_fields
        where
            unknown_fields.feed = runs.feed
            and unknown_fields.first_seen_at >= runs.started_at
        order by unknown_fields.field_name
        limit 1000
    ) as unknown_fields
from sync.runs
where runs.run_id = %(run_id)s;

-- name: defer_clients
-- purpose: store on the run the number of clients that were not due; see schedule_clients
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
-- purpose: whether a sync is reading, or has just ended
-- parameters: quiet (seconds)
select
    exists (select from sync.session_locks where kind = 'run')
    or exists (
        select from (select finished_at from sync.runs order by run_id desc limit 20) as recent
        where recent.finished_at > now() - make_interval(secs => %(quiet)s)
    ) as is_syncing;

-- name: newest_runs
-- purpose: the newest runs, newest first, with their status
-- parameters: most_of_feed (limit per feed), most (limit in total)
-- A process that works on a run holds a lock on it; a standby does not show locks of the primary.
with numbered as (
    select
        runs.*,
        row_number() over (partition by runs.feed order by runs.run_id desc) as age
    from sync.runs
)

select
    numbered.run_id,
    numbered.feed,
    numbered.window_from as first_day,
    numbered.window_to as last_day,
    case
        when numbered.status <> 'reading' then numbered.status
        when
            exists (
                select from sync.session_locks
                where session_locks.kind = 'run' and session_locks.lock_id = numbered.run_id
            )
            then 'reading'
        when numbered.error is not null then 'failed'
        when pg_is_in_recovery() then 'reading'
        else 'interrupted'
    end as state,
    numbered.started_at,
    numbered.finished_at,
    numbered.requests,
    numbered.retries,
    numbered.rows_read,
    numbered.rows_written,
    numbered.rows_deleted,
    numbered.pending,
    numbered.quarantined,
    case when numbered.status <> 'published' then numbered.error end as error
from numbered
where numbered.age <= %(most_of_feed)s
order by numbered.run_id desc
limit %(most)s;

-- name: record_failure
-- purpose: record why a process stopped; the run stays open to be resumed
-- parameters: run_id, error
update sync.runs
set error = %(error)s
where run_id = %(run_id)s and status = 'reading';
