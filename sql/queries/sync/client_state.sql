-- sync.client_state: the proven state of each client and feed, and the clients that a run reads

-- name: schedule_clients
-- purpose: the clients of the roster that a run reads, and which of them it reads in full
-- parameters: feed, first, last, audit_share, max_staleness, quiet_days
-- A client without recent changes is due every `pause` days: one day per quiet_days since its last
-- change, at most max_staleness. Its turn comes on every pause-th day, counted from a day of its own,
-- so that clients are spread over the days; it is due if its turn came since its last reading, whether
-- a run took place then or not. All other clients are due in each run.
-- The audit takes a moving arc of clients: each has a fixed phase in [0, 1) by a hash, and each day
-- moves the arc on by audit_share, so that it reaches each client once in 1 / audit_share days. A
-- client that was not due when the arc passed is read in full at its next reading.
-- Retired clients are read only by the audit, in case they have come back; clients retired by hand are
-- never read.
create temp table scheduled on commit drop as
with synced as (
    select max(day) as day
    from sync.window_days
    where feed = %(feed)s and day < %(first)s
),

roster as (
    select
        clients.client_id,
        coalesce(state.source_total, 0) as source_total,
        state.read_at is not null as is_known,
        state.pending_since is not null as is_priority,
        state.proven_date,
        least(
            greatest((%(last)s::date - state.changed_date) / %(quiet_days)s::integer, 1),
            greatest(%(max_staleness)s::integer, 1)
        ) as pause,
        (hashint8extended(clients.client_id, 1) & 65535)::integer as own_day,
        (hashint8(clients.client_id)::bigint & 2147483647) / 2147483648.0 as phase,
        state.fingerprint is null
        or state.pending_since is not null
        or exists (
            select from sync.quarantine
            where
                quarantine.feed = %(feed)s
                and quarantine.client_id = clients.client_id
                and quarantine.resolved_at is null
        ) as is_unsettled,
        coalesce(retired.retired_at is not null, false) as is_retired
    from core.clients
    left join sync.client_state as state
        on state.feed = %(feed)s and state.client_id = clients.client_id
    left join sync.retired_clients as retired on retired.client_id = clients.client_id
    where
        clients.registration_date <= %(last)s
        and coalesce(retired.reason not in ('manual', 'forgotten'), true)
),

dated as (
    select
        roster.*,
        %(last)s::date - date '2000-01-01' as today,
        roster.proven_date - date '2000-01-01' as proven_day,
        case when %(max_staleness)s::integer > 1
            then synced.day - roster.proven_date else 0
        end as missed_days
    from roster
    cross join synced
),

audited as (
    select
        *,
        (phase - (%(first)s::date - date '2000-01-01') * %(audit_share)s::numeric %% 1 + 1) %% 1
        < %(audit_share)s::numeric * (%(last)s::date - %(first)s::date + 1)
        or coalesce(
            (phase - (proven_day + 1) * %(audit_share)s::numeric %% 1 + 1) %% 1
            < %(audit_share)s::numeric * missed_days,
            false
        ) as is_whole
    from dated
)

select
    client_id,
    source_total,
    is_known,
    is_priority,
    is_unsettled
    or coalesce(pause = 1, true)
    or coalesce((today + own_day) / pause > (proven_day + own_day) / pause, true) as is_due,
    is_whole
from audited
where is_whole or not is_retired;

-- name: planned_clients
-- purpose: the cost of reading the due clients of a window, estimated from their last readings
-- parameters: page_length, has_details; see schedule_clients
-- A client that is up to date costs one request. The audit reads long histories page by page, and
-- requests the details of each row if the feed has some.
select
    count(*) filter (where is_due and is_known) as known,
    count(*) filter (where is_due and not is_known) as unknown,
    count(*) filter (where not is_due) as deferred,
    coalesce(sum(source_total) filter (where is_due), 0) as rows,
    count(*) filter (where is_due and is_known) + coalesce(
        sum(
            greatest((source_total - 1) / %(page_length)s, 0)
            + case when %(has_details)s then source_total else 0 end
        ) filter (where is_due and is_known and is_whole),
        0
    ) as requests
from scheduled;

-- name: probe_clients
-- purpose: a few clients that the service should return data for, and a feed to request for each
-- Numbers below 0 are stand-ins of erased persons, which the service does not know.
(
    select
        feed,
        client_id
    from sync.client_state
    where read_at is not null and pending_since is null and refusals = 0 and client_id > 0
    order by client_id desc
    limit 2
)
union all
(
    select
        feed,
        client_id
    from sync.client_state
    where read_at is not null and pending_since is null and refusals = 0 and client_id > 0
    order by random()
    limit 2
)
union all
(
    select 'operations' as feed, client_id
    from core.clients
    where client_id > 0
    order by client_id desc
    limit 1
);

-- name: store_clients
-- purpose: store the proven state of the clients of a publish
-- parameters: feed, last (last day of the window)
-- tag: state-updated
-- A reading superseded by a newer one with the same content still proves the days of its own window.
with confirmed as (
    update sync.client_state as state
    set
        proven_date = greatest(state.proven_date, %(last)s::date),
        refusals = 0,
        refused_since = null
    from judged
    where
        judged.verdict = 'superseded'
        and state.feed = %(feed)s
        and state.client_id = judged.client_id
)

insert into sync.client_state as state (
    feed, client_id, source_total, expired, fingerprint, head, header_digest, quarantined, version,
    read_at, proven_date, changed_date, pending_since, last_error
)
select
    %(feed)s,
    client_id,
    rows,
    -- Only a full reading meets the rows that are older than what is held.
    case when reading = 'full' then expired else known_expired end,
    fingerprint, head, header_digest, quarantined, 1,
    read_at, %(last)s, %(last)s, null, null
from publishing
where client_id is not null
on conflict (feed, client_id) do update set
    source_total = excluded.source_total,
    expired = excluded.expired,
    fingerprint = excluded.fingerprint,
    head = excluded.head,
    header_digest = coalesce(excluded.header_digest, state.header_digest),
    quarantined = excluded.quarantined,
    version = state.version + (
        (state.source_total, state.fingerprint, state.header_digest)
        is distinct from
        (excluded.source_total, excluded.fingerprint,
            coalesce(excluded.header_digest, state.header_digest))
    )::integer,
    changed_date = case
        when
            (state.source_total, state.fingerprint, state.header_digest)
            is distinct from
            (excluded.source_total, excluded.fingerprint,
                coalesce(excluded.header_digest, state.header_digest))
            then greatest(state.changed_date, excluded.changed_date)
        else coalesce(state.changed_date, excluded.changed_date)
    end,
    read_at = greatest(state.read_at, excluded.read_at),
    proven_date = greatest(state.proven_date, excluded.proven_date),
    pending_since = null,
    last_error = null,
    refusals = 0,
    refused_since = null;

-- name: leave_pending_clients
-- purpose: mark the clients that a run could not prove as pending, and count permanent refusals
-- parameters: run_id, feed
-- If every request fails, the service does not refuse individual clients: nothing is counted then.
with found as (
    select
        client_id,
        coalesce(error, 'it changed while it was published') as reason,
        (
            is_refused
            and status = 'failed'
            and (
                exists (select from judged)
                or exists (
                    select from sync.fetches as answered
                    where answered.run_id = %(run_id)s and answered.status = 'published'
                )
            )
        )::integer as refused
    from sync.fetches
    where
        run_id = %(run_id)s
        and client_id is not null
        and status in ('pending', 'unproven', 'failed')
)

insert into sync.client_state as state (
    feed, client_id, pending_since, last_error, refusals, refused_since
)
select
    %(feed)s,
    client_id,
    now(),
    reason,
    refused,
    case when refused > 0 then now() end
from found
on conflict (feed, client_id) do update set
    pending_since = coalesce(state.pending_since, excluded.pending_since),
    last_error = excluded.last_error,
    refusals = state.refusals + excluded.refusals,
    refused_since = coalesce(state.refused_since, excluded.refused_since);

-- name: reset_quarantined_clients
-- purpose: mark clients with rows in quarantine as not up to date
update sync.client_state
set fingerprint = null, head = null, version = version + 1
where exists (
    select from sync.quarantine
    where
        quarantine.feed = client_state.feed
        and quarantine.client_id = client_state.client_id
        and quarantine.resolved_at is null
);

-- name: draw_clients
-- purpose: clients whose operations were read, in random order
-- parameters: most (null for all)
select clients.client_id
from core.clients
inner join sync.client_state as state on state.client_id = clients.client_id
where
    state.feed = 'operations'
    and state.read_at is not null
    and not exists (
        select from sync.retired_clients as retired
        where retired.client_id = clients.client_id and retired.retired_at is not null
    )
order by random()
limit %(most)s;

-- name: limit_schedule
-- purpose: make only some clients due, to be read in full; see schedule_clients
-- parameters: clients
update scheduled
set is_due = client_id = any(%(clients)s), is_whole = true;

-- name: missing_clients
-- purpose: those of some clients that are not in the roster, or are retired
-- parameters: clients
select wanted.client_id
from unnest(%(clients)s::bigint[]) as wanted (client_id)
left join core.clients on clients.client_id = wanted.client_id
left join sync.retired_clients as retired
    on retired.client_id = wanted.client_id and retired.retired_at is not null
where clients.client_id is null or retired.client_id is not null
order by wanted.client_id;

-- name: reset_clients
-- purpose: mark clients as not up to date, so that their next reading is a full one; returns their number
-- parameters: feeds, clients (null for all)
-- Retired ones are not counted, nor the numbers of erased persons, which are retired too: no sync reads them.
with reset as (
    update sync.client_state
    set fingerprint = null, head = null, header_digest = null, version = version + 1
    where
        feed = any(%(feeds)s)
        and (%(clients)s::bigint[] is null or client_id = any(%(clients)s::bigint[]))
    returning client_id
)

select count(distinct client_id) as clients
from reset
where
    client_id not in (
        select retired.client_id from sync.retired_clients as retired
        where retired.retired_at is not null
    );
