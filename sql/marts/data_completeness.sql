-- question: how complete are the numbers of a day?
-- grain: day x table
-- formula: what sync.day_completeness says: a day waits for a client that had registered by it until a
--   run for the day or a later one has proven it: pending when the last reading failed or none was made,
--   deferred when it was not due (LCM_MAX_STALENESS_DAYS). Registrations are polled by the day, and wait
--   for the day itself. loaded_rows are live rows of the day. source_total, loaded_total and
--   quarantined_total are of the whole table: the source reports totals by client (by day for
--   registrations), never by client and day. Rows in quarantine belong to no day, and make none
--   incomplete. complete_through is the last day that is complete with all days before it. clients
--   are members registered by the end of the day; complete_share also counts registration days that
--   were never read. roster_from: registrations are polled by the day, and the source never reports
--   of earlier ones, so where the first day that was read had registrations, or rows are older, there
--   may be members of whom nothing here knows.
-- refreshed: always
create materialized view mart.data_completeness as
with days_of_feeds as materialized (
    select * from sync.day_completeness
),

loaded as (
    select feed, day, count(*) as rows
    from sync.feed_rows
    where deleted_at is null and feed <> 'operations'
    group by feed, day
    union all
    -- Kept by day, as most rows are operations.
    select 'operations' as feed, day, sum(loaded_rows)::bigint as rows
    from mart.operations_daily
    group by day
),

loaded_totals as (
    select feed, sum(rows) as rows
    from loaded
    group by feed
),

held as (
    select feed, table_name, count(*) as rows
    from sync.quarantine
    where resolved_at is null
    group by feed, table_name
),

first_polls as (
    select registration_date, source_total
    from sync.registration_days
    where read_at is not null
    order by registration_date
    limit 1
),

roster as (
    select first_polls.registration_date as roster_from
    from first_polls
    where
        first_polls.source_total > 0
        or exists (
            select from sync.row_days
            where row_days.first_day < first_polls.registration_date
        )
),

-- Members by day, of all days of the feeds and of registrations.
joined as (
    select
        day,
        (sum(sum(clients)) over (order by day))::bigint as members
    from (
        select registration_date as day, count(*) as clients
        from mart.members
        group by registration_date
        union all
        select distinct day, 0 as clients from days_of_feeds
    ) as days
    group by day
),

restated as (
    select
        table_name,
        day,
        sum(rows) as rows,
        min(first_restated_at) as restated_since
    from mart.restatements
    group by table_name, day
)

select
    completeness.day,
    feeds.main_table as table_name,
    coalesce(loaded.rows, 0) as loaded_rows,
    coalesce(joined.members, 0) as clients,
    completeness.pending as pending_clients,
    completeness.complete_share,
    coalesce(source_totals.rows, 0) as source_total,
    coalesce(loaded_totals.rows, 0)::bigint as loaded_total,
    coalesce(held.rows, 0) as quarantined_total,
    coalesce(restated.rows, 0)::bigint as restated_rows,
    restated.restated_since,
    readings.known_at as first_published_at,
    completeness.complete_through,
    completeness.deferred as deferred_clients,
    completeness.unread_registration_days,
    completeness.is_complete,
    roster.roster_from
from sync.feeds
inner join days_of_feeds as completeness on completeness.feed = feeds.feed
left join mart.readings_by_day as readings
    on readings.feed = completeness.feed and readings.day = completeness.day
left join loaded on loaded.feed = feeds.feed and loaded.day = completeness.day
left join loaded_totals on loaded_totals.feed = feeds.feed
left join sync.source_totals on source_totals.feed = feeds.feed
left join held on held.feed = feeds.feed and held.table_name = feeds.main_table
left join restated on restated.table_name = feeds.main_table and restated.day = completeness.day
left join joined on joined.day = completeness.day
left join roster on true
where feeds.has_marts;

create unique index on mart.data_completeness (day, table_name);

comment on materialized view mart.data_completeness is 'how complete the rows of a day are: to be shown beside every number. Grain: day, table';
comment on column mart.data_completeness.day is 'business day';
comment on column mart.data_completeness.table_name is 'main table of the feed, such as operations';
comment on column mart.data_completeness.loaded_rows is 'live rows of the day';
comment on column mart.data_completeness.clients is 'members: clients registered by the end of the day';
comment on column mart.data_completeness.pending_clients is 'clients, and registration days that were never read, without a proven reading that covers the day, because the last one failed or none was made';
comment on column mart.data_completeness.complete_share is 'share that is neither pending nor deferred, cut to four digits, never rounded up';
comment on column mart.data_completeness.source_total is 'rows of the whole table that the source claims';
comment on column mart.data_completeness.loaded_total is 'live rows of the whole table';
comment on column mart.data_completeness.quarantined_total is 'rows of the whole table in quarantine';
comment on column mart.data_completeness.restated_rows is 'rows of the day that changed since it was first published';
comment on column mart.data_completeness.restated_since is 'when the first of these changes came; null when there is none';
comment on column mart.data_completeness.first_published_at is 'when the day was first published';
comment on column mart.data_completeness.complete_through is 'last day of the table that is complete with all days before it; null when there is none';
comment on column mart.data_completeness.deferred_clients is 'of the clients, not read since the day ended, as they were not due yet: read within LCM_MAX_STALENESS_DAYS';
comment on column mart.data_completeness.unread_registration_days is 'of those pending, registration days up to this one that no proven poll covers: who registered on them is not known';
comment on column mart.data_completeness.is_complete is 'nothing is pending or deferred; rows in quarantine are counted separately';
comment on column mart.data_completeness.roster_from is 'first registration day that was read, where members may have joined before it: they are in no number; null where it had no registrations and no row is older';
