-- question: how complete are the numbers of a day?
-- grain: day x table
-- formula: a day waits for a client that had registered by it until a run for the day or a later one
--   has proven it: pending when the last reading failed or none was made, deferred when it was not due
--   (LCM_MAX_STALENESS_DAYS). Registrations are asked by the day: there, what is pending are days.
--   loaded_rows are live rows of the day. source_total, loaded_total and quarantined_total are of the
--   whole table: the source tells totals by client (by day for registrations), never by client and
--   day. complete_through is the last day for which nothing was pending or deferred.
create materialized view mart.data_completeness as
with feeds (feed, table_name) as (
    values
    ('registrations', 'registrations'),
    ('operations', 'operations'),
    ('leads', 'leads'),
    ('favourites', 'favourite_offers')
),

readings as (
    select feed, first_day, last_day, known_at
    from mart.readings
    where run_id is not null
),

days as (
    select
        readings.feed,
        series::date as day,
        readings.known_at as first_published_at
    from readings
    cross join
        generate_series(
            readings.first_day::timestamp, readings.last_day::timestamp, interval '1 day'
        ) as series
),

ends as (
    select feed, max(last_day) as last_day
    from readings
    group by feed
),

-- Of each client, the first day that waits for it.
covered as (
    select
        ends.feed,
        clients.registration_date,
        greatest(clients.registration_date, state.proven_date + 1) as open_from,
        state.read_at is null or state.pending_since is not null as is_pending,
        ends.last_day
    from ends
    cross join core.clients
    left join sync.client_state as state
        on state.endpoint = ends.feed and state.client_id = clients.client_id
    where ends.feed <> 'registrations' and clients.registration_date is not null
),

clients_by_day as (
    select
        feed,
        day,
        sum(registered) as registered,
        sum(pending) as pending,
        sum(deferred) as deferred
    from (
        select feed, registration_date as day, count(*) as registered, 0 as pending, 0 as deferred
        from covered
        group by feed, registration_date
        union all
        select
            feed,
            open_from as day,
            0 as registered,
            count(*) filter (where is_pending) as pending,
            count(*) filter (where not is_pending) as deferred
        from covered
        where open_from <= last_day
        group by feed, open_from
        union all
        select 'registrations' as feed, days.day, 1 as registered, 1 as pending, 0 as deferred
        from days
        left join sync.registration_days as state on state.registration_date = days.day
        where
            days.feed = 'registrations'
            and (state.read_at is null or state.pending_since is not null)
        union all
        select 'registrations' as feed, days.day, 1 as registered, 0 as pending, 0 as deferred
        from days
        inner join sync.registration_days as state on state.registration_date = days.day
        where
            days.feed = 'registrations'
            and state.read_at is not null
            and state.pending_since is null
    ) as together
    group by feed, day
),

counted as (
    select
        days.feed,
        days.day,
        days.first_published_at,
        coalesce(sum(registered.registered) over steps, 0) + coalesce(before.registered, 0)
            as asked,
        coalesce(sum(registered.pending) over steps, 0) + coalesce(before.pending, 0) as pending,
        coalesce(sum(registered.deferred) over steps, 0) + coalesce(before.deferred, 0) as deferred
    from days
    left join clients_by_day as registered
        on registered.feed = days.feed and registered.day = days.day
    left join (
        select
            clients_by_day.feed,
            sum(clients_by_day.registered) as registered,
            sum(clients_by_day.pending) as pending,
            sum(clients_by_day.deferred) as deferred
        from clients_by_day
        inner join (
            select days.feed, min(days.day) as day from days group by days.feed
        ) as first_days on first_days.feed = clients_by_day.feed
        where clients_by_day.day < first_days.day
        group by clients_by_day.feed
    ) as before on before.feed = days.feed
    window steps as (partition by days.feed order by days.day)
),

through as (
    select
        feed,
        max(day) filter (where pending = 0 and deferred = 0) as complete_through
    from counted
    group by feed
),

loaded as (
    select 'registrations' as feed, registration_date as day, count(*) as rows
    from core.registrations
    where deleted_at is null
    group by registration_date
    union all
    select 'operations' as feed, operation_date as day, count(*) as rows
    from core.operations
    where deleted_at is null
    group by operation_date
    union all
    select 'leads' as feed, lead_date as day, count(*) as rows
    from core.leads
    where deleted_at is null
    group by lead_date
    union all
    select 'favourites' as feed, offer_date as day, count(*) as rows
    from core.favourite_offers
    where deleted_at is null
    group by offer_date
),

loaded_totals as (
    select feed, sum(rows) as rows
    from loaded
    group by feed
),

source_totals as (
    select endpoint as feed, sum(source_total) as rows
    from sync.client_state
    group by endpoint
    union all
    select 'registrations' as feed, sum(source_total) as rows
    from sync.registration_days
),

held as (
    select endpoint as feed, table_name, count(*) as rows
    from sync.quarantine
    where resolved_at is null
    group by endpoint, table_name
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
    counted.day,
    feeds.table_name,
    coalesce(loaded.rows, 0) as loaded_rows,
    counted.asked as clients,
    counted.pending as pending_clients,
    case
        when counted.asked = 0 then 1
        else trunc(
            (counted.asked - counted.pending - counted.deferred)::numeric / counted.asked, 4
        )
    end as complete_share,
    coalesce(source_totals.rows, 0) as source_total,
    coalesce(loaded_totals.rows, 0) as loaded_total,
    coalesce(held.rows, 0) as quarantined_total,
    coalesce(restated.rows, 0) as restated_rows,
    restated.restated_since,
    counted.first_published_at,
    through.complete_through,
    counted.deferred as deferred_clients
from counted
inner join feeds on feeds.feed = counted.feed
left join loaded on loaded.feed = counted.feed and loaded.day = counted.day
left join loaded_totals on loaded_totals.feed = counted.feed
left join source_totals on source_totals.feed = counted.feed
left join held on held.feed = counted.feed and held.table_name = feeds.table_name
left join restated on restated.table_name = feeds.table_name and restated.day = counted.day
left join through on through.feed = counted.feed;

create unique index on mart.data_completeness (day, table_name);

comment on materialized view mart.data_completeness is 'how complete the rows of a day are: to be shown beside every number. Grain: day, table';
comment on column mart.data_completeness.day is 'business day';
comment on column mart.data_completeness.table_name is 'registrations, operations, leads or favourite_offers';
comment on column mart.data_completeness.loaded_rows is 'live rows of the day';
comment on column mart.data_completeness.clients is 'clients registered by the end of the day (for registrations: days so far)';
comment on column mart.data_completeness.pending_clients is 'of them, without a proven reading that tells of the day, as the last one failed or none was made';
comment on column mart.data_completeness.complete_share is 'share that is neither pending nor deferred, never rounded up';
comment on column mart.data_completeness.source_total is 'rows of the whole table that the source claims';
comment on column mart.data_completeness.loaded_total is 'live rows of the whole table';
comment on column mart.data_completeness.quarantined_total is 'rows of the whole table in quarantine';
comment on column mart.data_completeness.restated_rows is 'rows of the day that changed since it was first published';
comment on column mart.data_completeness.restated_since is 'when the first of these changes came; null when there is none';
comment on column mart.data_completeness.first_published_at is 'when the day was first published';
comment on column mart.data_completeness.complete_through is 'last day of the table for which nothing is pending or deferred; null when there is none';
comment on column mart.data_completeness.deferred_clients is 'of the clients, not read since the day ended, as they were not due yet: read within LCM_MAX_STALENESS_DAYS';
