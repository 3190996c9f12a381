-- sync.retired_clients: clients that the source no longer knows; the migration describes the rule

-- name: record_given_away
-- purpose: record clients whose cards a publish of registrations found with other clients
-- They are still read; the responses of the feeds decide whether they are retired, see retire_clients.
with touched as (
    select card_number from gone_registrations
    union
    select card_number from changed_registrations
)

insert into sync.retired_clients as retired (client_id, current_client_id, given_away_at)
select distinct on (former.client_id)
    former.client_id,
    present.client_id,
    now()
from touched
inner join core.registrations as former
    on former.card_number = touched.card_number and former.deleted_at is not null
inner join core.registrations as present
    on
        present.card_number = touched.card_number
        and present.client_id <> former.client_id
        and present.deleted_at is null
where
    not exists (
        select from core.registrations as others
        where others.client_id = former.client_id and others.deleted_at is null
    )
order by former.client_id asc, present.registered_at desc, present.client_id asc
on conflict (client_id) do update set
    current_client_id = excluded.current_client_id,
    given_away_at = coalesce(retired.given_away_at, excluded.given_away_at);

-- name: reinstate_registered
-- purpose: reinstate clients who were retired, or about to be, and appear in registrations again
delete from sync.retired_clients as retired
where
    retired.reason is distinct from 'manual'
    and exists (
        select from changed_registrations as changed
        where changed.client_id = retired.client_id
    );

-- name: reinstate_responding
-- purpose: reinstate retired clients for which the service returned data again
delete from sync.retired_clients as retired
using publishing
where
    publishing.client_id = retired.client_id
    and (retired.reason = 'refused' or (retired.reason = 'merged' and publishing.rows > 0));

-- name: retire_clients
-- purpose: retire the clients of a run that the source no longer knows
-- parameters: run_id, feed, most_refusals (runs in a row)
-- If fewer clients were read than would be retired, the cause must be another one: none is retired.
with steadily_refused as (
    select
        fetches.client_id,
        fetches.error,
        leaving.current_client_id,
        count(*) over () as refused_clients
    from sync.fetches
    inner join sync.client_state as state
        on state.feed = %(feed)s and state.client_id = fetches.client_id
    left join sync.retired_clients as leaving on leaving.client_id = fetches.client_id
    where
        fetches.run_id = %(run_id)s
        and fetches.status = 'failed'
        and fetches.is_refused
        and (
            state.refusals >= %(most_refusals)s
            or (state.refusals > 0 and leaving.given_away_at is not null)
        )
        and not exists (
            select from sync.client_state as elsewhere
            where
                elsewhere.client_id = fetches.client_id
                and elsewhere.read_at > (
                    select min(first.refused_since)
                    from sync.client_state as first
                    where first.client_id = fetches.client_id
                )
        )
),

emptied as (
    select
        leaving.client_id,
        leaving.last_error as error,
        leaving.current_client_id
    from sync.retired_clients as leaving
    where
        leaving.retired_at is null
        and not exists (
            select from sync.feeds
            left join sync.client_state as state
                on state.feed = feeds.feed and state.client_id = leaving.client_id
            where
                not feeds.is_by_day
                and coalesce(state.refusals, 0) = 0
                and (
                    state.read_at is null
                    or state.read_at < leaving.given_away_at
                    or state.pending_since is not null
                    or state.source_total > 0
                )
        )
)

insert into sync.retired_clients as retired (
    client_id, current_client_id, retired_at, reason, last_error
)
select client_id, current_client_id, now(), 'refused', error
from steadily_refused
where
    refused_clients
    <= (
        select count(*) from sync.client_state
        where feed = %(feed)s and read_at is not null and refusals = 0 and pending_since is null
    )
union all
select client_id, current_client_id, now(), 'merged', error
from emptied
where client_id not in (select counted.client_id from steadily_refused as counted)
on conflict (client_id) do update set
    retired_at = excluded.retired_at,
    reason = case
        when retired.given_away_at is not null then 'merged' else excluded.reason
    end,
    last_error = excluded.last_error
where retired.retired_at is null;

-- name: clear_refusals
-- purpose: let a later publish of the same run not count refusals again
-- parameters: run_id
update sync.fetches
set is_refused = false
where run_id = %(run_id)s and is_refused;

-- name: retire_by_hand
-- purpose: retire clients by hand; returns those that were not retired before
-- parameters: clients
insert into sync.retired_clients as retired (client_id, retired_at, reason)
select client_id, now(), 'manual'
from core.clients
where client_id = any(%(clients)s)
on conflict (client_id) do update set
    retired_at = coalesce(retired.retired_at, excluded.retired_at),
    reason = excluded.reason
where coalesce(retired.reason not in ('manual', 'forgotten'), true)
returning client_id;

-- name: reinstate_by_hand
-- purpose: reinstate clients in the roster; returns those that were retired
-- parameters: clients
delete from sync.retired_clients
where client_id = any(%(clients)s) and retired_at is not null and reason <> 'forgotten'
returning client_id;

-- name: close_retired_tasks
-- purpose: close the tasks of a run whose clients are retired
-- parameters: run_id
update sync.fetches
set status = 'retired'
from sync.retired_clients as retired
where
    fetches.run_id = %(run_id)s
    and fetches.client_id = retired.client_id
    and retired.retired_at is not null
    and fetches.status in ('pending', 'unproven', 'failed');

-- name: clear_retired_state
-- purpose: clear the pending state of retired clients; reinstated, they are read in full
update sync.client_state as state
set pending_since = null, fingerprint = null, head = null
from sync.retired_clients as retired
where
    state.client_id = retired.client_id
    and retired.retired_at is not null
    and (state.pending_since is not null or state.fingerprint is not null);

-- name: record_retired_comparison
-- purpose: record that the rows of retired clients were compared with those of other clients
-- parameters: feed
update sync.retired_clients
set settled_feeds = settled_feeds || %(feed)s::text
where retired_at is not null and not %(feed)s = any(settled_feeds);

-- name: lower_totals_of_retired
-- purpose: subtract rows that moved to other clients from the totals of the retired ones
-- parameters: feed; {moved} holds the rows
update sync.client_state as state
set source_total = state.source_total - moved.rows
from (
    select client_id, count(*) as rows
    from {moved}
    group by client_id
) as moved
where state.feed = %(feed)s and state.client_id = moved.client_id;

-- name: retired_clients
-- purpose: the retired clients, since when and why
select
    client_id,
    current_client_id,
    retired_at as since,
    reason,
    last_error
from sync.retired_clients
where retired_at is not null and reason <> 'forgotten'
order by retired_at, client_id;

-- name: count_retired
-- purpose: the number of clients that the source no longer knows, without erased persons
select count(*) as retired
from sync.retired_clients
where retired_at is not null and reason <> 'forgotten';

-- name: resolve_retired_quarantine
-- purpose: close the quarantined rows of retired clients, which will never be read again
with resolved as (
    update sync.quarantine
    set resolved_at = now(), raw = ''
    from sync.retired_clients as retired
    where
        quarantine.client_id = retired.client_id
        and retired.retired_at is not null
        and quarantine.resolved_at is null
    returning quarantine.feed, quarantine.client_id, quarantine.table_name
)

update sync.client_state as state
set source_total = state.source_total - held.rows
from (
    select
        resolved.feed,
        resolved.client_id,
        count(*) as rows
    from resolved
    inner join sync.feeds
        on feeds.feed = resolved.feed and feeds.main_table = resolved.table_name
    group by resolved.feed, resolved.client_id
) as held
where state.feed = held.feed and state.client_id = held.client_id;

-- name: collect_moved_rows
-- purpose: live rows of retired clients that other clients have now, under the same key
-- parameters: feed; {is_kept}: whether its day is kept; {is_gone}, {is_changed} and {is_same} compare
--   keys, the last two without the client; the other names are those of core/publish.sql
-- The first time after a client was retired, all its rows are compared with those of others; after
-- that, incoming rows are compared with its rows.
create temp table {moved} on commit drop as
with kept as materialized (
    select
        {stored_key},
        %(feed)s = any(retired.settled_feeds) as is_settled
    from sync.retired_clients as retired
    inner join {core} as stored on stored.client_id = retired.client_id
    where
        retired.retired_at is not null
        and stored.deleted_at is null
        and {is_kept}
        and not exists (select from {gone} as gone where {is_gone})
)

select {stored_key}
from kept as stored
inner join {changed} as changed on {is_changed}
where changed.client_id <> stored.client_id
union
select {stored_key}
from kept as stored
inner join {core} as present on {is_same}
left join sync.retired_clients as others
    on others.client_id = present.client_id and others.retired_at is not null
where
    not stored.is_settled
    and present.client_id <> stored.client_id
    and present.deleted_at is null
    and others.client_id is null;
