-- the completeness of the warehouse, from the tables of schema sync

-- name: completeness
-- purpose: the completeness of the last day of a window; for a feed read by day, of all its days
-- parameters: feed, first, last
select
    coalesce(sum(day_completeness.clients), 0)::bigint as clients,
    coalesce(sum(day_completeness.pending), 0)::bigint as pending,
    coalesce(sum(day_completeness.deferred), 0)::bigint as deferred
from sync.day_completeness
inner join sync.feeds on feeds.feed = day_completeness.feed
where
    day_completeness.feed = %(feed)s
    and day_completeness.day <= %(last)s
    and day_completeness.day >= case when feeds.is_by_day then %(first)s else %(last)s end;

-- name: overview
-- purpose: for each feed, through which day it is complete, its rows, what is pending
with held as (
    select feed, table_name, count(*) as rows
    from sync.quarantine
    where resolved_at is null
    group by feed, table_name
),

published as (
    select feed, max(published_at) as published_at
    from sync.window_days
    group by feed
)

select
    feeds.feed,
    feed_completeness.complete_through,
    feed_completeness.last_day,
    coalesce(source_totals.rows, 0) - coalesce(held.rows, 0) as rows,
    feed_completeness.pending,
    feed_completeness.deferred,
    feed_completeness.quarantined,
    published.published_at
from sync.feeds
inner join sync.feed_completeness on feed_completeness.feed = feeds.feed
left join sync.source_totals on source_totals.feed = feeds.feed
left join held on held.feed = feeds.feed and held.table_name = feeds.main_table
left join published on published.feed = feeds.feed
order by feeds.position;

-- name: totals_of_clients
-- purpose: clients whose source total is not live rows plus open quarantine
-- parameters: feed, table_name; {table} is the feed's main table, of that name, {day} its business day
-- Rows of before the first day that is held are counted on neither side.
with live as (
    select client_id, count(*) as rows
    from core.{table}
    where
        deleted_at is null
        and {day} >= coalesce((select kept_from from sync.retention), '-infinity')
    group by client_id
),

held as (
    select client_id, count(*) as rows
    from sync.quarantine
    where feed = %(feed)s and table_name = %(table_name)s and resolved_at is null
    group by client_id
),

compared as (
    select
        coalesce(state.client_id, live.client_id) as client_id,
        coalesce(state.source_total, 0) as source_total,
        coalesce(live.rows, 0) as warehouse_rows,
        coalesce(held.rows, 0) as quarantined_rows
    from (
        select client_id, source_total - expired as source_total
        from sync.client_state
        where feed = %(feed)s and source_total is not null
    ) as state
    full join live on live.client_id = state.client_id
    left join held on held.client_id = coalesce(state.client_id, live.client_id)
)

select client_id, source_total, warehouse_rows, quarantined_rows
from compared
where source_total <> warehouse_rows + quarantined_rows
order by client_id;

-- name: totals_of_days
-- purpose: registration days whose source total differs from live rows plus open quarantine
-- parameters: feed, table_name; {table} is the feed's main table, of that name
-- Rows of erased persons have negative ids; the source does not have them.
with live as (
    select registration_date, count(*) as rows
    from core.{table}
    where deleted_at is null and client_id > 0
    group by registration_date
),

held as (
    select
        day,
        count(*) as rows
    from sync.quarantine
    where feed = %(feed)s and table_name = %(table_name)s and resolved_at is null
    group by day
),

compared as (
    select
        coalesce(state.registration_date, live.registration_date) as day,
        coalesce(state.source_total, 0) as source_total,
        coalesce(live.rows, 0) as warehouse_rows,
        coalesce(held.rows, 0) as quarantined_rows
    from (
        select registration_date, source_total
        from sync.registration_days
        where source_total is not null
    ) as state
    full join live on live.registration_date = state.registration_date
    left join held
        on held.day = coalesce(state.registration_date, live.registration_date)
)

select day, source_total, warehouse_rows, quarantined_rows
from compared
where source_total <> warehouse_rows + quarantined_rows
order by day;

-- name: pending_tasks
-- purpose: which clients and registration days are pending, since when and why; no personal data
-- A client that was never read has no row in sync.client_state: it is pending since it registered. One
-- whose last reading failed is listed though its days may be complete, as an earlier one has proven them.
with clients as (
    select
        feeds.position,
        feeds.feed,
        clients.client_id,
        null::date as day,
        coalesce(state.pending_since, clients.first_seen_at) as since,
        coalesce(state.last_error, 'not read yet') as reason
    from sync.feeds
    inner join sync.feed_completeness on feed_completeness.feed = feeds.feed
    inner join core.clients on clients.registration_date <= feed_completeness.last_day
    left join sync.client_state as state
        on state.feed = feeds.feed and state.client_id = clients.client_id
    where
        not feeds.is_by_day
        and (state.read_at is null or state.pending_since is not null)
        and not exists (
            select from sync.retired_clients as retired
            where retired.client_id = clients.client_id and retired.retired_at is not null
        )
),

days as (
    select
        feeds.position,
        feeds.feed,
        null::bigint as client_id,
        polled.registration_date as day,
        polled.pending_since as since,
        coalesce(polled.last_error, 'not read yet') as reason
    from sync.feeds
    cross join sync.registration_days as polled
    where feeds.is_by_day and (polled.pending_since is not null or polled.read_at is null)
),

listed as (
    select * from clients
    union all
    select * from days
)

select feed, client_id, day, since, reason
from listed
order by position, since, day, client_id;

-- name: incomplete_days
-- purpose: for each feed, its days in the warehouse, and the first and last day that is incomplete
-- Clients that are not due yet do not make a day incomplete. Clients that were reset, or reinstated in
-- the roster, make the newest day incomplete, and days that were reset are incomplete themselves.
with reset as (
    select
        state.feed,
        null::date as day
    from sync.client_state as state
    left join sync.retired_clients as retired
        on retired.client_id = state.client_id and retired.retired_at is not null
    where
        state.fingerprint is null
        and state.read_at is not null
        and state.pending_since is null
        and retired.client_id is null
    group by state.feed
    union all
    select
        feeds.feed,
        polled.registration_date as day
    from sync.feeds
    cross join sync.registration_days as polled
    where feeds.is_by_day and polled.fingerprint is null and polled.read_at is not null
),

waiting as (
    select
        days.feed,
        days.day,
        days.pending > 0 or reset.feed is not null as is_waiting
    from (
        select *, max(day) over (partition by feed) as newest_day from sync.day_completeness
    ) as days
    left join reset
        on reset.feed = days.feed and coalesce(reset.day, days.newest_day) = days.day
)

select
    feeds.feed,
    min(waiting.day) as first_day,
    max(waiting.day) as last_day,
    min(waiting.day) filter (where waiting.is_waiting) as first_incomplete,
    max(waiting.day) filter (where waiting.is_waiting) as last_incomplete,
    case when not feeds.is_by_day then (select kept_from from sync.retention) end as kept_from
from sync.feeds
left join waiting on waiting.feed = feeds.feed
group by feeds.feed, feeds.is_by_day;
