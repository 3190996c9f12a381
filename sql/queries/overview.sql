-- purpose: for each feed, through which day it is complete, its rows, what is pending
-- Complete through: the last day before which every day was published and no day waits for anybody.
-- Deferred: clients that the newest day waits for, as they are not due yet.
with published as (
    select
        endpoint,
        min(day) as first_day,
        max(published_at) as published_at
    from sync.window_days
    group by endpoint
),

runs_of_days as (
    select
        endpoint,
        day,
        pending,
        day - (row_number() over (partition by endpoint order by day))::integer as island
    from sync.window_days
),

through as (
    select
        published.endpoint,
        max(runs_of_days.day) as day
    from published
    inner join runs_of_days on runs_of_days.endpoint = published.endpoint
    where
        runs_of_days.island = published.first_day - 1
        and not exists (
            select from sync.window_days as earlier
            where
                earlier.endpoint = published.endpoint
                and earlier.day <= runs_of_days.day
                and (earlier.pending > 0 or earlier.deferred > 0)
        )
    group by published.endpoint
),

newest as (
    select distinct on (endpoint) endpoint, deferred
    from sync.window_days
    order by endpoint asc, day desc
),

client_counts as (
    select
        endpoint,
        sum(source_total) as rows,
        count(*) filter (where read_at is null or pending_since is not null) as pending
    from sync.client_state
    group by endpoint
    union all
    select
        'registrations' as endpoint,
        sum(source_total) as rows,
        count(*) filter (where read_at is null or pending_since is not null) as pending
    from sync.registration_days
),

held as (
    select endpoint, count(*) as quarantined
    from sync.quarantine
    where resolved_at is null
    group by endpoint
)

select
    feeds.endpoint as feed,
    through.day as complete_through,
    coalesce(client_counts.rows, 0) - coalesce(held.quarantined, 0) as rows,
    coalesce(client_counts.pending, 0) as pending,
    coalesce(newest.deferred, 0) as deferred,
    coalesce(held.quarantined, 0) as quarantined,
    published.published_at
from
    unnest(array['registrations', 'operations', 'leads', 'favourites'])
    with ordinality as feeds (endpoint, position)
left join published on published.endpoint = feeds.endpoint
left join through on through.endpoint = feeds.endpoint
left join newest on newest.endpoint = feeds.endpoint
left join client_counts on client_counts.endpoint = feeds.endpoint
left join held on held.endpoint = feeds.endpoint
order by feeds.position;
