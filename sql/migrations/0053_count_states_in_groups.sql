-- As in 0033, but the states of clients are counted in groups of equal days: one join of clients and states, which
-- parallel workers can share, instead of one for each feed.
create or replace view sync.day_completeness as
with listed as (
    select
        feeds.feed,
        feeds.is_by_day,
        exists (
            select from sync.runs
            where runs.feed = feeds.feed and runs.publishing_since is not null
        )
        and not exists (
            select from sync.runs
            where runs.feed = feeds.feed and runs.status = 'published'
        ) as is_loading
    from sync.feeds
),

roster as (
    select min(registration_date) as first_day from sync.registration_days
),

-- Not stored, as a stored one could not be joined by parallel workers.
members as not materialized (
    select clients.client_id, clients.registration_date
    from core.clients
    where
        clients.registration_date is not null
        and not exists (
            select from sync.retired_clients as retired
            where retired.client_id = clients.client_id and retired.retired_at is not null
        )
),

spans as (
    select
        listed.feed,
        listed.is_by_day,
        listed.is_loading,
        roster.first_day as first_roster_day,
        greatest(
            least(min(runs.window_from), min(row_days.first_day), roster.first_day),
            mart.first_plausible_day()
        ) as first_day,
        max(runs.window_to) as last_day
    from listed
    inner join sync.runs
        on
            runs.feed = listed.feed
            and (
                runs.status = 'published'
                or (listed.is_loading and runs.publishing_since is not null)
            )
    inner join sync.row_days on row_days.feed = listed.feed
    cross join roster
    group by listed.feed, listed.is_by_day, listed.is_loading, roster.first_day
),

days as (
    select
        spans.feed,
        spans.is_by_day,
        spans.is_loading,
        series::date as day,
        polled.read_at is null
        and (spans.is_by_day or coalesce(series::date >= spans.first_roster_day, false)) as is_unread,
        polled.read_at is null or polled.pending_since is not null or spans.is_loading
            as is_pending
    from spans
    cross join
        generate_series(
            spans.first_day::timestamp, spans.last_day::timestamp, interval '1 day'
        ) as series
    left join sync.registration_days as polled on polled.registration_date = series::date
),

registered as (
    select registration_date as day, count(*) as clients
    from members
    group by registration_date
),

-- Members with a state by its day. They are many, and fall into few groups.
states as (
    select
        state.feed,
        members.registration_date,
        state.proven_date,
        state.read_at is null or state.pending_since is not null as is_pending,
        count(*) as clients
    from members
    inner join sync.client_state as state on state.client_id = members.client_id
    group by 1, 2, 3, 4
),

steps as (
    select
        listed.feed,
        registered.day,
        registered.clients,
        -- Those without a state, who were never read.
        registered.clients - coalesce(sum(states.clients), 0) as pending,
        0 as deferred,
        0 as unread
    from listed
    cross join registered
    left join states on states.feed = listed.feed and states.registration_date = registered.day
    where not listed.is_by_day
    group by listed.feed, registered.day, registered.clients
    union all
    select
        listed.feed,
        greatest(
            states.registration_date, case when not listed.is_loading then states.proven_date + 1 end
        ) as day,
        0 as clients,
        case when states.is_pending or listed.is_loading then states.clients else 0 end as pending,
        case when states.is_pending or listed.is_loading then 0 else states.clients end as deferred,
        0 as unread
    from listed
    inner join states on states.feed = listed.feed
    where not listed.is_by_day
    union all
    select
        feed,
        day,
        0 as clients,
        0 as pending,
        0 as deferred,
        is_unread::integer as unread
    from days
    where not is_by_day
),

counted as (
    select
        feed,
        day,
        sum(sum(clients)) over through_day + sum(sum(unread)) over through_day as clients,
        sum(sum(pending)) over through_day + sum(sum(unread)) over through_day as pending,
        sum(sum(deferred)) over through_day as deferred,
        sum(sum(unread)) over through_day as unread
    from steps
    group by feed, day
    window through_day as (partition by feed order by day)
    union all
    select
        feed,
        day,
        1 as clients,
        is_pending::integer as pending,
        0 as deferred,
        is_unread::integer as unread
    from days
    where is_by_day
),

-- Of each feed, the first day that is told, the last, and the first that is not complete.
bounds as (
    select
        counted.feed,
        min(counted.day) as first_day,
        max(counted.day) as last_day,
        min(counted.day) filter (
            where counted.pending + counted.deferred > 0 or days.is_loading
        ) as first_incomplete_day,
        bool_or(days.is_loading) as is_loading
    from counted
    inner join days on days.feed = counted.feed and days.day = counted.day
    where
        days.is_by_day
        or counted.day >= coalesce((select kept_from from sync.retention), '-infinity')
    group by counted.feed
)

select
    counted.feed,
    counted.day,
    counted.clients::bigint as clients,
    counted.pending::bigint as pending,
    counted.deferred::bigint as deferred,
    counted.unread::bigint as unread_registration_days,
    counted.pending + counted.deferred = 0 and not bounds.is_loading as is_complete,
    case
        when bounds.is_loading then 0
        when counted.clients = 0 then 1
        else trunc(
            (counted.clients - counted.pending - counted.deferred)::numeric / counted.clients, 4
        )
    end as complete_share,
    case
        when bounds.first_incomplete_day is null then bounds.last_day
        when bounds.first_incomplete_day > bounds.first_day then bounds.first_incomplete_day - 1
    end as complete_through
from bounds
inner join counted
    on
        counted.feed = bounds.feed
        and counted.day between bounds.first_day and bounds.last_day;
