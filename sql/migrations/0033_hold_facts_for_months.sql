-- purpose: how long facts are held (LCM_RETENTION_MONTHS), so that nobody asks for what went

-- What is older than kept_from is gone for whoever counts: the months are detached and dropped as
-- soon as no reader stands in the way. The day only moves forward.
create table sync.retention (
    retention_id integer not null default 1,
    kept_from date not null,
    applied_at timestamptz not null default now(),
    primary key (retention_id),
    check (retention_id = 1)
);
comment on table sync.retention is 'how far back facts are held; no row where all are. One row at most';
comment on column sync.retention.retention_id is 'always 1';
comment on column sync.retention.kept_from is 'first day of which operations, leads and favourites are held: the first of a month';
comment on column sync.retention.applied_at is 'when that was set';

alter table sync.client_state add column expired integer not null default 0;
comment on column sync.client_state.expired is 'of the rows that the source has, those before sync.retention.kept_from, which the warehouse does not hold';
alter table sync.fetches add column expired integer not null default 0;
comment on column sync.fetches.expired is 'of the rows that the source has, those before sync.retention.kept_from; told by a full reading';

-- As in 0022, and: while a feed has been published by batches alone (0031), everything of it is pending, as its
-- rows are there in part and no day is complete before the transaction that ends the publish. Days before
-- kept_from are not listed, so that no sync is requested for them; registrations stay.
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

members as (
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

steps as (
    select
        listed.feed,
        registered.day,
        registered.clients,
        0 as pending,
        0 as deferred,
        0 as unread
    from listed
    cross join registered
    where not listed.is_by_day
    union all
    select
        listed.feed,
        waiting.day,
        0 as clients,
        waiting.pending,
        waiting.deferred,
        0 as unread
    from listed
    cross join lateral (
        select
            greatest(
                members.registration_date,
                case when not listed.is_loading then state.proven_date + 1 end
            ) as day,
            count(*) filter (
                where listed.is_loading or state.read_at is null or state.pending_since is not null
            ) as pending,
            count(*) filter (
                where
                    not listed.is_loading
                    and state.read_at is not null
                    and state.pending_since is null
            ) as deferred
        from members
        left join sync.client_state as state
            on state.feed = listed.feed and state.client_id = members.client_id
        group by 1
    ) as waiting
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

comment on column sync.day_completeness.pending is 'of them, without a proven reading that tells of the day, as the last one failed or none was made; all of them while a first load is published in batches';
