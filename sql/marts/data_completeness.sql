-- question: how complete are the numbers of a day?
-- grain: day x table
-- formula: what sync.day_completeness says: a day waits for a client that had registered by it until a
--   run for the day or a later one has proven it: pending when the last reading failed or none was made,
--   deferred when it was not due (LCM_MAX_STALENESS_DAYS). Registrations are asked by the day, and wait
--   for the day itself. loaded_rows are live rows of the day. source_total, loaded_total and
--   quarantined_total are of the whole table: the source tells totals by client (by day for
--   registrations), never by client and day. Rows in quarantine belong to no day, and make none
--   incomplete. complete_through is the last day that is complete with all days before it.
create materialized view mart.data_completeness as
with loaded as (
    select feed, day, count(*) as rows
    from sync.feed_rows
    where deleted_at is null
    group by feed, day
),

loaded_totals as (
    select feed, sum(rows) as rows
    from loaded
    group by feed
),

source_totals as (
    select feed, sum(source_total) as rows
    from sync.client_state
    group by feed
    union all
    select feeds.feed, sum(registration_days.source_total) as rows
    from sync.feeds
    cross join sync.registration_days
    where feeds.is_by_day
    group by feeds.feed
),

held as (
    select feed, table_name, count(*) as rows
    from sync.quarantine
    where resolved_at is null
    group by feed, table_name
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
    completeness.clients,
    completeness.pending as pending_clients,
    completeness.complete_share,
    coalesce(source_totals.rows, 0) as source_total,
    coalesce(loaded_totals.rows, 0) as loaded_total,
    coalesce(held.rows, 0) as quarantined_total,
    coalesce(restated.rows, 0) as restated_rows,
    restated.restated_since,
    readings.known_at as first_published_at,
    completeness.complete_through,
    completeness.deferred as deferred_clients,
    completeness.unread_registration_days,
    completeness.is_complete
from sync.feeds
inner join sync.day_completeness as completeness on completeness.feed = feeds.feed
left join mart.readings
    on
        readings.feed = completeness.feed
        and completeness.day between readings.first_day and readings.last_day
left join loaded on loaded.feed = feeds.feed and loaded.day = completeness.day
left join loaded_totals on loaded_totals.feed = feeds.feed
left join source_totals on source_totals.feed = feeds.feed
left join held on held.feed = feeds.feed and held.table_name = feeds.main_table
left join restated on restated.table_name = feeds.main_table and restated.day = completeness.day
where feeds.has_marts;

create unique index on mart.data_completeness (day, table_name);

comment on materialized view mart.data_completeness is 'how complete the rows of a day are: to be shown beside every number. Grain: day, table';
comment on column mart.data_completeness.day is 'business day';
comment on column mart.data_completeness.table_name is 'main table of the feed, such as operations';
comment on column mart.data_completeness.loaded_rows is 'live rows of the day';
comment on column mart.data_completeness.clients is 'clients registered by the end of the day, and registration days that were never read; for registrations 1, the day itself';
comment on column mart.data_completeness.pending_clients is 'of them, without a proven reading that tells of the day, as the last one failed or none was made';
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
comment on column mart.data_completeness.is_complete is 'nothing is pending or deferred; rows in quarantine are counted apart';
