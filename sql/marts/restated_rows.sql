-- question: which rows of the feeds beside operations changed since their day was first published?
-- grain: day x table x reason
-- formula: as mart.restatements.
-- incremental: day
create materialized view mart.restated_rows as
with changes as (
    select
        feeds.main_table as table_name,
        present.day,
        case
            when present.first_seen_at > readings.known_at then 'late'
            when present.deleted_at is not null then 'vanished'
            else 'mutated'
        end as reason,
        present.synced_at as changed_at
    from sync.feed_rows as present
    inner join sync.feeds on feeds.feed = present.feed and feeds.has_marts
    inner join mart.readings
        on
            readings.feed = present.feed
            and present.day between readings.first_day and readings.last_day
    left join sync.feed_versions as earlier
        on
            earlier.feed = present.feed
            and earlier.feed <> 'operations'
            and earlier.day = present.day
            and earlier.key = present.key
            and earlier.valid_from <= readings.known_at
            and earlier.valid_to > readings.known_at
    where
        present.feed <> 'operations'
        and present.synced_at > readings.known_at
        and (present.first_seen_at <= readings.known_at or present.deleted_at is null)
        and (
            earlier.key is null
            or present.deleted_at is not null
            or mart.content_of(present.content) <> mart.content_of(earlier.content)
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
