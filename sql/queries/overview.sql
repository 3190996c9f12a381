-- purpose: for each feed, through which day it is complete, its rows, what is pending
-- parameters: none
with loaded as (
    select endpoint as feed, sum(source_total) as rows
    from sync.client_state
    group by endpoint
    union all
    select feeds.feed, sum(registration_days.source_total) as rows
    from sync.feeds
    cross join sync.registration_days
    where feeds.is_by_day
    group by feeds.feed
),

held as (
    select endpoint as feed, table_name, count(*) as rows
    from sync.quarantine
    where resolved_at is null
    group by endpoint, table_name
),

published as (
    select endpoint as feed, max(published_at) as published_at
    from sync.window_days
    group by endpoint
)

select
    feeds.feed,
    feed_completeness.complete_through,
    coalesce(loaded.rows, 0) - coalesce(held.rows, 0) as rows,
    feed_completeness.pending,
    feed_completeness.deferred,
    feed_completeness.quarantined,
    published.published_at
from sync.feeds
inner join sync.feed_completeness on feed_completeness.feed = feeds.feed
left join loaded on loaded.feed = feeds.feed
left join held on held.feed = feeds.feed and held.table_name = feeds.main_table
left join published on published.feed = feeds.feed
order by feeds.position;
