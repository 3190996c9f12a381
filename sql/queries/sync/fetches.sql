-- sync.fetches: the ledger of tasks, from adding them to closing them

-- name: add_client_tasks
-- purpose: put the clients that are due on the ledger of a run, once; see schedule_clients
-- parameters: run_id, endpoint, first, last
-- tag: tasks-added
insert into sync.fetches
    (run_id, client_id, window_from, window_to, endpoint, is_whole, is_priority)
select
    %(run_id)s,
    client_id,
    %(first)s,
    %(last)s,
    %(endpoint)s,
    is_whole,
    is_priority
from scheduled
where is_due
on conflict do nothing;

-- name: add_day_tasks
-- purpose: put registration days on the ledger of a run, once
-- parameters: run_id, endpoint, days
-- tag: tasks-added
insert into sync.fetches (run_id, client_id, window_from, window_to, endpoint, is_priority)
select
    %(run_id)s,
    0,
    days.day,
    days.day,
    %(endpoint)s,
    state.pending_since is not null
from unnest(%(days)s::date[]) as days (day)
left join sync.registration_days as state on state.registration_date = days.day
on conflict do nothing;

-- name: next_clients
-- purpose: the next clients to read in a run, with what is known of each
-- parameters: run_id, endpoint, after_client, after_day (not used here), is_priority, most
select
    fetches.client_id,
    fetches.window_from as day,
    fetches.is_whole,
    coalesce(state.version, 0) as version,
    state.source_total,
    state.fingerprint,
    state.head,
    state.header_digest,
    exists (
        select from sync.quarantine
        where
            quarantine.endpoint = %(endpoint)s
            and quarantine.client_id = fetches.client_id
            and quarantine.resolved_at is null
    ) as has_bad_rows
from sync.fetches
left join sync.client_state as state
    on state.endpoint = %(endpoint)s and state.client_id = fetches.client_id
where
    fetches.run_id = %(run_id)s
    and fetches.status = 'pending'
    and fetches.is_priority = %(is_priority)s
    and fetches.client_id > %(after_client)s
    and %(after_day)s::date is not null
order by fetches.client_id
limit %(most)s;

-- name: next_days
-- purpose: the next registration days to poll in a run, with what is known of each
-- parameters: run_id, endpoint (not used here), after_client (not used here), after_day, is_priority, most
select
    fetches.client_id,
    fetches.window_from as day,
    fetches.is_whole,
    coalesce(state.version, 0) as version,
    state.source_total,
    state.fingerprint,
    state.head,
    state.header_digest
from sync.fetches
left join sync.registration_days as state on state.registration_date = fetches.window_from
where
    fetches.run_id = %(run_id)s
    and fetches.status = 'pending'
    and fetches.is_priority = %(is_priority)s
    and fetches.window_from > %(after_day)s
    and %(endpoint)s::text is not null
    and %(after_client)s::bigint is not null
order by fetches.window_from
limit %(most)s;

-- name: close_fetches
-- purpose: record what became of some fetches of a run; returns those that were recorded before
-- parameters: run_id; arrays of equal length: client_id, window_from, status, reading, has_header,
--   single_page, rows, staged, quarantined, base_version, read_at, fingerprint, head, header_digest,
--   error
-- tag: outcomes-recorded
with closed as (
    update sync.fetches
    set
        status = outcome.status,
        reading = outcome.reading,
        has_header = outcome.has_header,
        single_page = outcome.single_page,
        rows = outcome.rows,
        staged = outcome.staged,
        quarantined = outcome.quarantined,
        base_version = outcome.base_version,
        read_at = outcome.read_at,
        fingerprint = outcome.fingerprint,
        head = outcome.head,
        header_digest = outcome.header_digest,
        error = outcome.error,
        attempts = fetches.attempts + 1
    from unnest(
        %(client_id)s::bigint[], %(window_from)s::date[], %(status)s::text[], %(reading)s::text[],
        %(has_header)s::boolean[], %(single_page)s::integer[], %(rows)s::integer[],
        %(staged)s::integer[], %(quarantined)s::integer[], %(base_version)s::bigint[],
        %(read_at)s::timestamptz[], %(fingerprint)s::bytea[], %(head)s::bytea[],
        %(header_digest)s::bytea[], %(error)s::text[]
    ) as outcome (
        client_id, window_from, status, reading, has_header, single_page, rows, staged, quarantined,
        base_version, read_at, fingerprint, head, header_digest, error
    )
    where
        fetches.run_id = %(run_id)s
        and fetches.client_id = outcome.client_id
        and fetches.window_from = outcome.window_from
    returning fetches.client_id, fetches.window_from, fetches.attempts
)

select client_id, window_from from closed where attempts > 1;

-- name: others_of_clients
-- purpose: a few clients that the service should answer for: proven before, and any of the run
-- parameters: run_id, endpoint, day (first day of the window)
-- Asked before a run stops. Those that fail are mostly at the head of the line, where the lowest
-- numbers are: so some are taken from the other end, and some at random.
with proven as (
    select
        state.client_id,
        %(day)s::date as day,
        state.version,
        state.source_total,
        state.fingerprint,
        state.head,
        state.header_digest
    from sync.client_state as state
    where
        state.endpoint = %(endpoint)s
        and state.read_at is not null
        and state.pending_since is null
        and not exists (
            select from sync.fetches
            where
                fetches.run_id = %(run_id)s
                and fetches.client_id = state.client_id
                and fetches.status in ('unproven', 'failed')
        )
),

on_ledger as (
    select
        client_id,
        window_from as day,
        0 as version,
        null::integer as source_total,
        null::bytea as fingerprint,
        null::bytea as head,
        null::bytea as header_digest
    from sync.fetches
    where run_id = %(run_id)s and status in ('pending', 'done')
)

(select * from proven order by client_id desc limit 2)
union all
(select * from proven order by random() limit 2)
union all
(select * from on_ledger order by client_id desc limit 1)
union all
(select * from on_ledger order by random() limit 2);

-- name: others_of_days
-- purpose: a few registration days that the service should answer for: polled before, latest first
-- parameters: run_id, endpoint (not used here), day (not used here); see others_of_clients
select
    0 as client_id,
    state.registration_date as day,
    state.version,
    state.source_total,
    state.fingerprint,
    state.head,
    state.header_digest
from sync.registration_days as state
where
    state.read_at is not null
    and state.pending_since is null
    and %(endpoint)s::text is not null
    and %(day)s::date is not null
    and not exists (
        select from sync.fetches
        where
            fetches.run_id = %(run_id)s
            and fetches.window_from = state.registration_date
            and fetches.status in ('unproven', 'failed')
    )
order by state.registration_date desc
limit 3;

-- name: judge_clients
-- purpose: decide for each client that a run has read whether the publish may take it
-- parameters: run_id, endpoint
-- `again`: staging lost its records, the state moved on and this reading builds on the old one, or
-- somebody published a newer reading that says otherwise: which is right, a third one tells.
-- `superseded`: somebody published a newer reading of the client that says the same.
create temp table judged on commit drop as
select
    fetches.*,
    coalesce(state.source_total, 0) as known_total,
    case
        when state.read_at >= fetches.read_at and (
            fetches.reading = 'unchanged'
            or (fetches.rows, fetches.fingerprint)
            is not distinct from (state.source_total, state.fingerprint)
        ) then 'superseded'
        when state.read_at >= fetches.read_at then 'again'
        when coalesce(counts.staged, 0) <> fetches.staged then 'again'
        when coalesce(state.version, 0) = fetches.base_version then 'take'
        when fetches.reading = 'full' then 'take'
        else 'again'
    end as verdict
from sync.fetches
left join staged_counts as counts
    on counts.fetch_id = fetches.client_id and counts.fetch_day = fetches.window_from
left join sync.client_state as state
    on state.endpoint = %(endpoint)s and state.client_id = fetches.client_id
where fetches.run_id = %(run_id)s and fetches.status = 'done';

-- name: judge_days
-- purpose: decide for each registration day that a run has polled whether the publish may take it
-- parameters: run_id, endpoint (not used here); see judge_clients
create temp table judged on commit drop as
select
    fetches.*,
    coalesce(state.source_total, 0) as known_total,
    case
        when state.read_at >= fetches.read_at and (
            fetches.reading = 'unchanged'
            or (fetches.rows, fetches.fingerprint)
            is not distinct from (state.source_total, state.fingerprint)
        ) then 'superseded'
        when state.read_at >= fetches.read_at then 'again'
        when coalesce(counts.staged, 0) <> fetches.staged then 'again'
        when coalesce(state.version, 0) = fetches.base_version then 'take'
        when fetches.reading = 'full' then 'take'
        else 'again'
    end as verdict
from sync.fetches
left join staged_counts as counts
    on counts.fetch_id = fetches.client_id and counts.fetch_day = fetches.window_from
left join sync.registration_days as state on state.registration_date = fetches.window_from
where fetches.run_id = %(run_id)s and fetches.status = 'done' and %(endpoint)s::text is not null;

-- name: select_fetches
-- purpose: put on the ledger what the verdicts say of fetches that a publish does not take
-- parameters: run_id
update sync.fetches
set status = case judged.verdict when 'again' then 'pending' else 'superseded' end
from judged
where
    fetches.run_id = %(run_id)s
    and fetches.client_id = judged.client_id
    and fetches.window_from = judged.window_from
    and judged.verdict <> 'take';

-- name: settle_fetches
-- purpose: close the fetches that a publish took
-- parameters: run_id
update sync.fetches
set status = 'published'
from publishing
where
    fetches.run_id = %(run_id)s
    and fetches.client_id = publishing.client_id
    and fetches.window_from = publishing.window_from;
