-- purpose: clients whom the source no longer knows: retired, so that no day waits for them

-- A client is retired by one of two rules, or by hand (`lcm retire`):
--   refused: in three runs in a row of one feed the service refused this client for good while it
--     answered for others, and no feed was answered for it since. One refusal will do where its cards
--     are another client's by now.
--   merged: registrations say that its cards are another client's, and each feed says that it has no
--     rows, or refuses it.
-- What it did stays. A row of it that lives on with another client is marked as deleted there.
create table sync.retired_clients (
    client_id bigint not null,
    current_client_id bigint,
    given_away_at timestamptz,
    retired_at timestamptz,
    reason text,
    last_error text,
    settled_feeds text[] not null default '{}',
    primary key (client_id),
    check (reason in ('refused', 'merged', 'manual')),
    check ((retired_at is null) = (reason is null))
);
comment on table sync.retired_clients is 'clients whom the source no longer knows, and those who are about to be: their cards are another client''s. Grain: client';
comment on column sync.retired_clients.client_id is 'the client';
comment on column sync.retired_clients.current_client_id is 'client who has its cards now; null where registrations do not tell';
comment on column sync.retired_clients.given_away_at is 'when registrations told that its cards are another client''s; null where they did not';
comment on column sync.retired_clients.retired_at is 'since when it is retired; null while it is still read';
comment on column sync.retired_clients.reason is 'refused, merged or manual (lcm retire); null while it is still read';
comment on column sync.retired_clients.last_error is 'what the service said when it was last asked; null where it was not refused';
comment on column sync.retired_clients.settled_feeds is 'feeds whose rows were compared with those of other clients since it is retired';

alter table sync.client_state
    add column refusals integer not null default 0,
    add column refused_since timestamptz;
comment on column sync.client_state.refusals is 'runs in a row that were refused this client for good, while others were answered; 0 after an answer';
comment on column sync.client_state.refused_since is 'when the first of them was; null after an answer';

alter table sync.fetches
    add column is_refused boolean not null default false,
    drop constraint fetches_status_check,
    add constraint fetches_status_check check (
        status in ('pending', 'done', 'unproven', 'failed', 'published', 'superseded', 'retired')
    );
comment on column sync.fetches.is_refused is 'the service refused this client for good, which is no failure in passing';
comment on column sync.fetches.status is 'pending, done, unproven, failed, published, superseded or retired; see docs/states.md';

create or replace view sync.day_completeness as
with roster as (
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
    from members
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
            greatest(members.registration_date, state.proven_date + 1) as day,
            count(*) filter (
                where state.read_at is null or state.pending_since is not null
            ) as pending,
            count(*) filter (
                where state.read_at is not null and state.pending_since is null
            ) as deferred
        from members
        left join sync.client_state as state
            on state.feed = feeds.feed and state.client_id = members.client_id
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

comment on column sync.day_completeness.clients is 'clients registered by the end of the day, but for those who are retired, and unread registration days; for a feed that is read by day 1, the day itself';
