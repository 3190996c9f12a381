-- sync.fetches: the ledger of tasks, from adding them to closing them

-- name: add_client_tasks
-- purpose: add a task for each due client to the ledger of a run, once; see schedule_clients
-- parameters: run_id
-- tag: tasks-added
-- Clients that were pending come first: tasks are read in the order in which they were added.
insert into sync.fetches (run_id, client_id, is_whole)
select
    %(run_id)s,
    client_id,
    is_whole
from scheduled
where is_due
order by is_priority desc, client_id asc
on conflict do nothing;

-- name: add_day_tasks
-- purpose: add a task for each registration day to the ledger of a run, once; pending days come first
-- parameters: run_id, days
-- tag: tasks-added
insert into sync.fetches (run_id, day)
select
    %(run_id)s,
    days.day
from unnest(%(days)s::date[]) as days (day)
left join sync.registration_days as state on state.registration_date = days.day
order by (state.pending_since is not null) desc, days.day asc
on conflict do nothing;

-- name: reopen_tasks
-- purpose: reopen tasks of a run that failed, or were read before their days had ended
-- parameters: run_id, fresh_from
-- In an unpublished run, the published tasks are those of the batches of a first load.
update sync.fetches
set status = 'pending', claimed_by = null
where
    run_id = %(run_id)s
    and (
        status in ('unproven', 'failed')
        or (status in ('done', 'published') and read_at < %(fresh_from)s)
    );

-- name: reopen_clients
-- purpose: reopen the tasks of some clients of a run, to be read in full
-- parameters: run_id, clients
update sync.fetches
set status = 'pending', claimed_by = null, is_whole = true
where run_id = %(run_id)s and client_id = any(%(clients)s);

-- name: reopen_pages
-- purpose: reopen tasks whose history was in a single page of from_page rows or more
-- parameters: run_id, from_page (0 for all that were read)
update sync.fetches
set status = 'pending', claimed_by = null
where
    run_id = %(run_id)s
    and status = 'done'
    and reading <> 'unchanged'
    and (single_page >= %(from_page)s or %(from_page)s = 0);

-- name: claim_tasks
-- purpose: claim the next unclaimed tasks of a run, with the stored state of each
-- parameters: run_id, feed, after (the last task claimed before), most
-- tag: tasks-claimed
-- A claim is valid while its session holds its lock on the run, so the claims of a lost reader are
-- free for other sessions at once.
-- Run and feed come from the materialized rows below: as constants they would let the planner, which
-- has no statistics of a new run, join by them alone and compare each task with each other one.
-- The sessions are compared twice. When another session claims a task at the same moment, Postgres
-- checks the condition of `free` again for the new row only, and may take that session for a lost one.
with free as materialized (
    select run_id, task_id, claimed_by, %(feed)s::text as feed
    from sync.fetches
    where
        run_id = %(run_id)s
        and task_id > %(after)s
        and status = 'pending'
        and (
            claimed_by is null
            or claimed_by <> all(
                select session_locks.session_pid from sync.session_locks
                where session_locks.kind = 'run' and session_locks.lock_id = %(run_id)s
            )
        )
    order by task_id
    limit %(most)s
    for update skip locked
),

claimed as (
    update sync.fetches
    set claimed_by = pg_backend_pid()
    from free
    where
        fetches.run_id = free.run_id
        and fetches.task_id = free.task_id
        and (
            free.claimed_by is null
            or free.claimed_by <> all(
                select session_locks.session_pid from sync.session_locks
                where session_locks.kind = 'run' and session_locks.lock_id = %(run_id)s
            )
        )
    returning fetches.task_id, fetches.client_id, fetches.day, fetches.is_whole, free.feed
)

select
    claimed.task_id,
    claimed.client_id,
    claimed.day,
    claimed.is_whole as must_be_full,
    coalesce(client.version, polled.version, 0) as version,
    coalesce(client.source_total, polled.source_total) as source_total,
    coalesce(client.fingerprint, polled.fingerprint) as fingerprint,
    client.head as recent_rows,
    client.header_digest as envelope_digest,
    exists (
        select from sync.quarantine
        where
            quarantine.feed = claimed.feed
            and quarantine.client_id = claimed.client_id
            and quarantine.resolved_at is null
    ) as has_bad_rows
from claimed
left join sync.client_state as client
    on client.feed = claimed.feed and client.client_id = claimed.client_id
left join sync.registration_days as polled on polled.registration_date = claimed.day
order by claimed.task_id;

-- name: renew_claims
-- purpose: transfer the claims of a lost session to the one that replaces it
-- parameters: run_id, lost (server process of the session before)
update sync.fetches
set claimed_by = pg_backend_pid()
where run_id = %(run_id)s and claimed_by = %(lost)s and status = 'pending';

-- name: drop_claims
-- purpose: release the tasks that this session has claimed and not read
-- parameters: run_id
update sync.fetches
set claimed_by = null
where run_id = %(run_id)s and claimed_by = pg_backend_pid() and status = 'pending';

-- name: pending_elsewhere
-- purpose: another session that has claimed pending tasks of a run
-- parameters: run_id
select
    count(*) as tasks,
    min(activity.pid) as pid,
    min(activity.usename) as user_name,
    min(activity.backend_start) as since
from sync.fetches
inner join sync.session_locks
    on
        session_locks.session_pid = fetches.claimed_by
        and session_locks.kind = 'run'
        and session_locks.lock_id = %(run_id)s
left join pg_stat_activity as activity on activity.pid = fetches.claimed_by
where
    fetches.run_id = %(run_id)s
    and fetches.status = 'pending'
    and fetches.claimed_by <> pg_backend_pid();

-- name: close_tasks
-- purpose: record the outcomes of tasks that this session has claimed; returns the recorded tasks
-- parameters: run_id; arrays of equal length: task_id, status, reading, has_header, single_page, rows,
--   staged, expired, quarantined, base_version, read_at, fingerprint, head, header_digest, error,
--   is_refused
-- tag: outcomes-recorded
-- Skips a task that another session has claimed meanwhile, because this session was lost.
-- The run is a column of the outcomes, so that it is not joined by alone: see claim_tasks.
update sync.fetches
set
    status = outcome.status,
    reading = outcome.reading,
    has_header = outcome.has_header,
    single_page = outcome.single_page,
    rows = outcome.rows,
    staged = outcome.staged,
    expired = outcome.expired,
    quarantined = outcome.quarantined,
    base_version = outcome.base_version,
    read_at = outcome.read_at,
    fingerprint = outcome.fingerprint,
    head = outcome.head,
    header_digest = outcome.header_digest,
    error = outcome.error,
    is_refused = outcome.is_refused,
    attempts = fetches.attempts + 1
from unnest(
    array_fill(%(run_id)s::bigint, array[cardinality(%(task_id)s::bigint[])]),
    %(task_id)s::bigint[], %(status)s::text[], %(reading)s::text[], %(has_header)s::boolean[],
    %(single_page)s::integer[], %(rows)s::integer[], %(staged)s::integer[], %(expired)s::integer[],
    %(quarantined)s::integer[], %(base_version)s::bigint[], %(read_at)s::timestamptz[],
    %(fingerprint)s::bytea[], %(head)s::bytea[], %(header_digest)s::bytea[], %(error)s::text[],
    %(is_refused)s::boolean[]
) as outcome (
    run_id, task_id, status, reading, has_header, single_page, rows, staged, expired, quarantined,
    base_version, read_at, fingerprint, head, header_digest, error, is_refused
)
where
    fetches.run_id = outcome.run_id
    and fetches.task_id = outcome.task_id
    and fetches.claimed_by = pg_backend_pid()
returning fetches.task_id, fetches.attempts;

-- name: fail_client
-- purpose: mark the tasks of a client as failed after they were read
-- parameters: run_id, client_id, error
update sync.fetches
set status = 'failed', error = %(error)s
where run_id = %(run_id)s and client_id = %(client_id)s
returning task_id;

-- name: has_read
-- purpose: whether any process has read a task of a run
-- parameters: run_id
select exists (
    select from sync.fetches
    where run_id = %(run_id)s and status not in ('pending', 'unproven', 'failed')
) as has_read;

-- name: count_pending_tasks
-- purpose: the number of tasks of a run not read yet
-- parameters: run_id
select count(*) as pending
from sync.fetches
where run_id = %(run_id)s and status = 'pending';

-- name: is_waiting
-- purpose: whether tasks of a run have to be read, or published
-- parameters: run_id
select exists (
    select from sync.fetches
    where run_id = %(run_id)s and status in ('pending', 'done')
) as is_waiting;

-- name: largest_single_page
-- purpose: the client with the largest history that was in a single page, and its number of rows
-- parameters: run_id
select client_id, single_page
from sync.fetches
where run_id = %(run_id)s and status = 'done' and single_page > 0
order by single_page desc, client_id asc
limit 1;

-- name: probe_tasks
-- purpose: a few tasks that should succeed: proven clients or days, and clients of the run
-- parameters: run_id, feed
-- They are read before a run stops on failures. Failing tasks are mostly those with the lowest ids,
-- which are read first, so some are taken from the other end and some at random.
with proven as (
    select
        client_id,
        null::date as day,
        version,
        source_total,
        fingerprint,
        head as recent_rows,
        header_digest as envelope_digest
    from sync.client_state
    where
        feed = %(feed)s
        and read_at is not null
        and pending_since is null
        and refusals = 0
    union all
    select
        null::bigint as client_id,
        polled.registration_date as day,
        polled.version,
        polled.source_total,
        polled.fingerprint,
        polled.head as recent_rows,
        polled.header_digest as envelope_digest
    from sync.registration_days as polled
    inner join sync.feeds on feeds.feed = %(feed)s and feeds.is_by_day
    where polled.read_at is not null and polled.pending_since is null
),

answered as (
    select proven.*
    from proven
    where
        not exists (
            select from sync.fetches
            where
                fetches.run_id = %(run_id)s
                and (fetches.client_id = proven.client_id or fetches.day = proven.day)
                and fetches.status in ('unproven', 'failed')
        )
),

on_ledger as (
    select
        client_id,
        day,
        0 as version,
        null::integer as source_total,
        null::bytea as fingerprint,
        null::bytea as recent_rows,
        null::bytea as envelope_digest
    from sync.fetches
    where run_id = %(run_id)s and client_id is not null and status in ('pending', 'done')
)

(select * from answered order by client_id desc, day desc limit 2)
union all
(select * from answered order by random() limit 2)
union all
(select * from on_ledger order by client_id desc, day desc limit 1)
union all
(select * from on_ledger order by random() limit 2);

-- name: judge_tasks
-- purpose: decide for each task that a run has read whether the publish may take it
-- parameters: run_id, feed; first, last (of the tasks that are decided on)
-- `again`: staging lost its records or has some of expired days, the state moved on and this reading
-- builds on the old one, or another run published a newer reading with other content: a third reading
-- decides which is right.
-- `superseded`: another run published a newer reading with the same content.
create temp table judged on commit drop as
with known as (
    select
        fetches.*,
        coalesce(client.read_at, polled.read_at) as known_at,
        coalesce(client.version, polled.version, 0) as known_version,
        coalesce(client.source_total, polled.source_total) as known_rows,
        coalesce(client.expired, 0) as known_expired,
        coalesce(client.fingerprint, polled.fingerprint) as known_fingerprint
    from sync.fetches
    left join sync.client_state as client
        on client.feed = %(feed)s and client.client_id = fetches.client_id
    left join sync.registration_days as polled on polled.registration_date = fetches.day
    where
        fetches.run_id = %(run_id)s
        and fetches.status = 'done'
        and fetches.task_id between %(first)s and %(last)s
)

select
    known.*,
    coalesce(known.known_rows, 0) as known_total,
    case
        when known.known_at >= known.read_at and (
            known.reading = 'unchanged'
            or (known.rows, known.fingerprint)
            is not distinct from (known.known_rows, known.known_fingerprint)
        ) then 'superseded'
        when known.known_at >= known.read_at then 'again'
        when coalesce(counts.staged, 0) <> known.staged then 'again'
        when counts.expired > 0 then 'again'
        when known.known_version = known.base_version then 'take'
        when known.reading = 'full' then 'take'
        else 'again'
    end as verdict
from known
left join staged_counts as counts on counts.task_id = known.task_id;

-- name: record_verdicts
-- purpose: record the verdicts on tasks that a publish does not take in the ledger
-- parameters: run_id
update sync.fetches
set
    status = case judged.verdict when 'again' then 'pending' else 'superseded' end,
    claimed_by = null
from judged
where
    fetches.run_id = %(run_id)s
    and fetches.task_id = judged.task_id
    and judged.verdict <> 'take';

-- name: select_tasks
-- purpose: the tasks that a publish takes
create temp table publishing on commit drop as
select * from judged
where verdict = 'take';

-- name: select_new_tasks
-- purpose: the tasks of a publish for clients and days that have no stored state
create temp table publishing on commit drop as
select * from judged
where verdict = 'take' and known_at is null;

-- name: count_tasks_to_repeat
-- purpose: the number of tasks that have to be read again before they can be published
select count(*) as tasks from judged
where verdict = 'again';

-- name: plan_batches
-- purpose: divide the tasks of a publish into batches: the first and the last task of each
-- parameters: batch_rows (of one batch; the last task of one may have more)
select
    min(task_id) as first_task,
    max(task_id) as last_task
from (
    select
        task_id,
        (sum(staged) over (order by task_id) - staged) / %(batch_rows)s::bigint as batch
    from publishing
) as numbered
group by batch
order by first_task;

-- name: publish_tasks
-- purpose: close the tasks of a publish
-- parameters: run_id
update sync.fetches
set status = 'published'
from publishing
where fetches.run_id = %(run_id)s and fetches.task_id = publishing.task_id;

-- name: old_ledgers
-- purpose: the runs with tasks that ended a week ago; what these proved is in the state
-- Every run begins with it, and nearly all old runs have no tasks left. So the runs with tasks are found in
-- the index, from one to the next: joined with the old runs, all of the ledger would be read each time.
with recursive ledgers (run_id) as (
    select min(fetches.run_id) from sync.fetches
    union all
    select (select min(fetches.run_id) from sync.fetches where fetches.run_id > ledgers.run_id)
    from ledgers
    where ledgers.run_id is not null
)

select runs.run_id
from ledgers
inner join sync.runs on runs.run_id = ledgers.run_id
where runs.status <> 'reading' and runs.finished_at < now() - interval '7 days'
order by runs.run_id;

-- name: delete_ledger
-- purpose: delete the tasks of a run
-- parameters: run_id
delete from sync.fetches
where run_id = %(run_id)s;
