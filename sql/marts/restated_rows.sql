-- question: which rows of the feeds beside operations changed since their day was first published?
-- grain: day x table x reason
-- formula: as mart.restatements.
-- incremental: day
create materialized view mart.restated_rows as
with states as (
    select
        present.feed,
        present.day,
        present.key,
        readings.known_at,
        present.first_seen_at,
        present.synced_at,
        present.deleted_at,
        present.content as content_now,
        null::jsonb as content_then
    from sync.feed_rows as present
    inner join mart.readings_by_day as readings
        on readings.feed = present.feed and readings.day = present.day
    where
        present.feed <> 'operations'
        and present.synced_at > readings.known_at
        and (present.first_seen_at <= readings.known_at or present.deleted_at is null)
    union all
    select
        earlier.feed,
        earlier.day,
        earlier.key,
        readings.known_at,
        null as first_seen_at,
        null as synced_at,
        null as deleted_at,
        null as content_now,
        earlier.content as content_then
    from sync.feed_versions as earlier
    inner join mart.readings_by_day as readings
        on readings.feed = earlier.feed and readings.day = earlier.day
    where
        earlier.feed <> 'operations'
        and earlier.valid_from <= readings.known_at
        and earlier.valid_to > readings.known_at
),

-- Rows as they are and as they were are grouped: in a join, each would be compared with all of its day.
compared as (
    select
        states.feed,
        states.day,
        states.known_at,
        min(states.first_seen_at) as first_seen_at,
        min(states.synced_at) as changed_at,
        min(states.deleted_at) as deleted_at,
        (array_agg(states.content_now) filter (where states.content_now is not null))[1]
            as content_now,
        (array_agg(states.content_then) filter (where states.content_then is not null))[1]
            as content_then
    from states
    group by states.feed, states.day, states.key, states.known_at
),

changes as (
    select
        feeds.main_table as table_name,
        compared.day,
        compared.changed_at,
        case
            when compared.first_seen_at > compared.known_at then 'late'
            when compared.deleted_at is not null then 'vanished'
            else 'mutated'
        end as reason
    from compared
    inner join sync.feeds on feeds.feed = compared.feed and feeds.has_marts
    where
        compared.content_now is not null
        and (
            compared.content_then is null
            or compared.deleted_at is not null
            or mart.content_of(compared.content_now) <> mart.content_of(compared.content_then)
        )
)

select
    day,
    table_name,
    reason,
    count(*) as rows,
    min(changed_at) as first_restated_at,
    max(changed_at) as last_restated_at
from changes
group by day, table_name, reason;

create unique index on mart.restated_rows (day, table_name, reason);

comment on materialized view mart.restated_rows is 'rows of past days, of feeds beside operations, that changed since these were first published. Grain: day, table, reason';
comment on column mart.restated_rows.day is 'business day';
comment on column mart.restated_rows.table_name is 'main table of the feed, such as leads';
comment on column mart.restated_rows.reason is 'late, mutated or vanished';
comment on column mart.restated_rows.rows is 'rows that changed';
comment on column mart.restated_rows.first_restated_at is 'first of the newest changes of these rows';
comment on column mart.restated_rows.last_restated_at is 'last of them';
