-- purpose: the feeds, one definition of a complete day, earlier versions of clients, limits for texts and days

-- What each feed is. Written by each migrate from lcm_pipeline/model/feeds.py; SQL joins it.
create table sync.feeds (
    feed text not null,
    position smallint not null,
    main_table text not null,
    is_by_day boolean not null,
    has_marts boolean not null,
    primary key (feed)
);
comment on table sync.feeds is 'the feeds that are synced; written by each migrate';
comment on column sync.feeds.feed is 'the feed';
comment on column sync.feeds.position is 'its place in the order in which feeds are synced, from 1';
comment on column sync.feeds.main_table is 'table of core that its rows go to';
comment on column sync.feeds.is_by_day is 'it is read day by day, as registrations are; the others are read client by client';
comment on column sync.feeds.has_marts is 'marts are built on it, and wait for it';

-- No programme is older. A row that says otherwise has a wrong date, and must not make days.
create function mart.first_plausible_day() returns date
language sql immutable parallel safe
return date '2000-01-01';
comment on function mart.first_plausible_day() is 'the first day that a mart may show; rows dated before it are in no mart';

-- A text of any length breaks an index: 2,704 bytes are the most that one row of it holds. Marts are
-- refreshed concurrently, which needs an index on plain columns, so the text itself is cut. What is
-- cut ends in a digest of all of it: names that differ only behind the cut stay apart.
create function mart.display_text(name text) returns text
language sql immutable parallel safe
return case
    when char_length(name) > 200 then left(name, 186) || '… ' || left(md5(name), 12)
    else name
end;
comment on function mart.display_text(text) is 'a text as marts show it: up to 200 characters as it is, a longer one cut, with a digest of the whole at the end';

-- The source may invent field names of any length, too.
alter table sync.unknown_fields drop constraint unknown_fields_pkey;
create unique index on sync.unknown_fields (endpoint, md5(field_name));

create view sync.row_days as
with rows_by_table (main_table, first_day, last_day) as (
    select
        'registrations',
        (
            select min(registration_date) from core.registrations
            where registration_date >= mart.first_plausible_day()
        ),
        (
            select max(registration_date) from core.registrations
            where registration_date <= current_date + 366
        )
    union all
    select
        'operations',
        (
            select min(operation_date) from core.operations
            where operation_date >= mart.first_plausible_day()
        ),
        (
            select max(operation_date) from core.operations
            where operation_date <= current_date + 366
        )
    union all
    select
        'leads',
        (
            select min(lead_date) from core.leads
            where lead_date >= mart.first_plausible_day()
        ),
        (
            select max(lead_date) from core.leads
            where lead_date <= current_date + 366
        )
    union all
    select
        'favourite_offers',
        (
            select min(offer_date) from core.favourite_offers
            where offer_date >= mart.first_plausible_day()
        ),
        (
            select max(offer_date) from core.favourite_offers
            where offer_date <= current_date + 366
        )
)

select
    feeds.feed,
    rows_by_table.first_day,
    rows_by_table.last_day
from sync.feeds
left join rows_by_table on rows_by_table.main_table = feeds.main_table;
comment on view sync.row_days is 'first and last plausible day with a row, per feed; by index, without a scan. Grain: feed';
comment on column sync.row_days.feed is 'the feed';
comment on column sync.row_days.first_day is 'first business day with a row of its main table, not before mart.first_plausible_day(); null when there is none';
comment on column sync.row_days.last_day is 'last business day with such a row, at most 366 days from today; null when there is none';

-- When a day is complete: the one definition, read by lcm status, the asset checks, the marts and the
-- report.
-- A proven reading of a client tells of the day that its run was for and of all days before, since a
-- reading brings whole histories: the client is waited for from the day after. A client counts from
-- its registration day on. A registration day is told by a proven poll of it; as long as one has none,
-- nobody knows who registered on it, so it counts as one more client that is waited for, on its own
-- day and on all later ones. A registration day whose newest poll failed is waited for by itself alone:
-- those who registered on it are known. Rows in quarantine are counted apart, and belong to no day.
-- Each client is counted where it begins and where it begins to be waited for, and the days add these
-- counts up: the cost is clients plus days, not clients times days.
create view sync.day_completeness as
with roster as (
    select min(registration_date) as first_day from sync.registration_days
),

spans as (
    select
        feeds.feed,
        feeds.is_by_day,
        roster.first_day as first_roster_day,
        greatest(
            least(min(runs.window_from), min(row_days.first_day), roster.first_day),
            mart.first_plausible_day()
        ) as first_day,
        max(runs.window_to) as last_day
    from sync.feeds
    inner join sync.runs on runs.feed = feeds.feed and runs.status = 'published'
    inner join sync.row_days on row_days.feed = feeds.feed
    cross join roster
    group by feeds.feed, feeds.is_by_day, roster.first_day
),

days as (
    select
        spans.feed,
        spans.is_by_day,
        series::date as day,
        polled.read_at is null
        and (spans.is_by_day or coalesce(series::date >= spans.first_roster_day, false)) as is_unread,
        polled.read_at is null or polled.pending_since is not null as is_pending
    from spans
    cross join
        generate_series(
            spans.first_day::timestamp, spans.last_day::timestamp, interval '1 day'
        ) as series
    left join sync.registration_days as polled on polled.registration_date = series::date
),

registered as (
    select registration_date as day, count(*) as clients
    from core.clients
    where registration_date is not null
    group by registration_date
),

steps as (
    select
        feeds.feed,
        registered.day,
        registered.clients,
        0 as pending,
        0 as deferred,
        0 as unread
    from sync.feeds
    cross join registered
    where not feeds.is_by_day
    union all
    select
        feeds.feed,
        waiting.day,
        0 as clients,
        waiting.pending,
        waiting.deferred,
        0 as unread
    from sync.feeds
    cross join lateral (
        select
            greatest(clients.registration_date, state.proven_date + 1) as day,
            count(*) filter (
                where state.read_at is null or state.pending_since is not null
            ) as pending,
            count(*) filter (
                where state.read_at is not null and state.pending_since is null
            ) as deferred
        from core.clients
        left join sync.client_state as state
            on state.endpoint = feeds.feed and state.client_id = clients.client_id
        where clients.registration_date is not null
        group by 1
    ) as waiting
    where not feeds.is_by_day
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
        min(counted.day) filter (where counted.pending + counted.deferred > 0) as first_incomplete_day
    from counted
    inner join days on days.feed = counted.feed and days.day = counted.day
    group by counted.feed
)

select
    counted.feed,
    counted.day,
    counted.clients::bigint as clients,
    counted.pending::bigint as pending,
    counted.deferred::bigint as deferred,
    counted.unread::bigint as unread_registration_days,
    counted.pending + counted.deferred = 0 as is_complete,
    case
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
comment on view sync.day_completeness is 'how complete each day is: the one definition, which status, checks, marts and the report read. Grain: feed, day, without gaps from the first day that is told to the last that was published';
comment on column sync.day_completeness.feed is 'the feed';
comment on column sync.day_completeness.day is 'business day';
comment on column sync.day_completeness.clients is 'clients registered by the end of the day, and unread registration days; for a feed that is read by day 1, the day itself';
comment on column sync.day_completeness.pending is 'of them, without a proven reading that tells of the day, as the last one failed or none was made';
comment on column sync.day_completeness.deferred is 'of them, not read since the day ended, as they were not due yet';
comment on column sync.day_completeness.unread_registration_days is 'of those pending, registration days up to this one that no proven poll covers: who registered on them is not known';
comment on column sync.day_completeness.is_complete is 'nothing is pending or deferred; rows in quarantine are counted apart';
comment on column sync.day_completeness.complete_share is 'share that is neither pending nor deferred, cut to four digits, never rounded up';
comment on column sync.day_completeness.complete_through is 'last day of the feed that is complete with all days before it, the same on all its rows; null when there is none';

create view sync.feed_completeness as
with days as (
    select *
    from sync.day_completeness
),

spans as (
    select
        feed,
        min(day) as first_day,
        max(day) as last_day,
        sum(pending) as pending
    from days
    group by feed
),

held as (
    select endpoint as feed, count(*) as quarantined
    from sync.quarantine
    where resolved_at is null
    group by endpoint
)

select
    feeds.feed,
    spans.first_day,
    spans.last_day,
    newest.complete_through,
    coalesce(case when feeds.is_by_day then spans.pending else newest.pending end, 0)::bigint
        as pending,
    coalesce(newest.deferred, 0) as deferred,
    coalesce(held.quarantined, 0) as quarantined
from sync.feeds
left join spans on spans.feed = feeds.feed
left join days as newest on newest.feed = feeds.feed and newest.day = spans.last_day
left join held on held.feed = feeds.feed;
comment on view sync.feed_completeness is 'through which day each feed is complete, and what it waits for. Grain: feed';
comment on column sync.feed_completeness.feed is 'the feed';
comment on column sync.feed_completeness.first_day is 'first day that is told; null before the first sync';
comment on column sync.feed_completeness.last_day is 'last day that was published; null before the first sync';
comment on column sync.feed_completeness.complete_through is 'last day that is complete with all days before it; null when there is none';
comment on column sync.feed_completeness.pending is 'clients that the last day waits for, as they failed or were never read; for a feed that is read by day, days';
comment on column sync.feed_completeness.deferred is 'clients that the last day waits for, as they were not due yet';
comment on column sync.feed_completeness.quarantined is 'rows in open quarantine; they belong to no day';

-- The counts of a day are told by the view.
alter table sync.window_days
    drop column clients,
    drop column pending,
    drop column deferred;

create table history.clients (
    client_id bigint not null,
    registered_at timestamptz,
    registration_date date,
    pos_id bigint,
    phone bigint,
    extra jsonb,
    sync_run_id bigint,
    first_seen_at timestamptz,
    synced_at timestamptz,
    valid_from timestamptz not null,
    valid_to timestamptz not null,
    primary key (valid_to, client_id)
) partition by range (valid_to);
create index on history.clients (client_id);
comment on table history.clients is 'earlier versions of clients; a first version that only lacked its phone is completed in place';
comment on column history.clients.client_id is 'the client (Client)';
comment on column history.clients.registered_at is 'first registration of any card';
comment on column history.clients.registration_date is 'business day of registered_at';
comment on column history.clients.pos_id is 'point of sale of the first registration';
comment on column history.clients.phone is 'phone, 10 digits (OperationHistory)';
comment on column history.clients.extra is 'fields that the contract does not know; null when none';
comment on column history.clients.sync_run_id is 'run of sync.runs that wrote this version';
comment on column history.clients.first_seen_at is 'when the row was first published';
comment on column history.clients.synced_at is 'when this version was published';
comment on column history.clients.valid_from is 'since when this version stood in core';
comment on column history.clients.valid_to is 'when it was replaced';

-- One operation of the year 9999 made each refresh look at all days up to there.
update refresh.horizons
set newest_day = least(newest_day, greatest(through_day, current_date) + 1);

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select, insert, update, delete on sync.feeds, history.clients to lcm_loader;
        grant select on sync.row_days, sync.day_completeness, sync.feed_completeness to lcm_loader;
        if pg_has_role(current_user, 'lcm_loader', 'member') then
            alter table history.clients owner to lcm_loader;
        end if;
    end if;
    if exists (select from pg_roles where rolname = 'lcm_analyst') then
        grant select on history.clients to lcm_analyst;
    end if;
end;
$$;
