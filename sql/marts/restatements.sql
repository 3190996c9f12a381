-- question: which past days changed since they were first published, by how much and why?
-- grain: day x table x reason
-- formula: a day was first published by its reading (mart.readings). late: rows that came after it.
--   mutated: rows that it had and that are different now (a lot's remain as well); a row that changed
--   and changed back is none. vanished: rows that it had and the source has no longer; a row that
--   moved to another client or day is vanished there and late here. Amounts: money of cheques, refunds
--   negative, by the cheque's own row, or by the first of the rows that name it where it has none: an
--   order that names a cheque adds nothing to it. Points: added by lots. Rows of the other
--   feeds have no amount; those that keep no history count as mutated by the time of the change.
create materialized view mart.restatements as
with days as (
    select
        readings.feed,
        series::date as day,
        readings.known_at
    from mart.readings
    cross join
        generate_series(
            readings.first_day::timestamp, readings.last_day::timestamp, interval '1 day'
        ) as series
),

changes as (
    select
        feeds.main_table as table_name,
        present.day,
        case
            when present.first_seen_at > days.known_at then 'late'
            when present.deleted_at is not null then 'vanished'
            else 'mutated'
        end as reason,
        present.synced_at as changed_at,
        1 as rows,
        0 as amount,
        0 as points
    from sync.feed_rows as present
    inner join sync.feeds on feeds.feed = present.feed and feeds.has_marts
    inner join days on days.feed = present.feed and days.day = present.day
    left join sync.feed_versions as earlier
        on
            earlier.feed = present.feed
            and earlier.feed <> 'operations'
            and earlier.day = present.day
            and earlier.key = present.key
            and earlier.valid_from <= days.known_at
            and earlier.valid_to > days.known_at
    where
        present.feed <> 'operations'
        and present.synced_at > days.known_at
        and (present.first_seen_at <= days.known_at or present.deleted_at is null)
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
    sum(rows)::bigint as rows,
    sum(amount)::numeric(19, 2) as amount_change,
    sum(points)::numeric(19, 2) as points_change,
    min(changed_at) as first_restated_at,
    max(changed_at) as last_restated_at
from changes
group by day, table_name, reason
union all
select
    day,
    'operations' as table_name,
    reason,
    rows,
    amount_change,
    points_change,
    first_restated_at,
    last_restated_at
from mart.restated_operations;

create unique index on mart.restatements (day, table_name, reason);

comment on materialized view mart.restatements is 'past days that changed since they were first published. Grain: day, table, reason';
comment on column mart.restatements.day is 'business day';
comment on column mart.restatements.table_name is 'main table of the feed, such as operations';
comment on column mart.restatements.reason is 'late, mutated or vanished';
comment on column mart.restatements.rows is 'rows that changed';
comment on column mart.restatements.amount_change is 'by how much the money of cheques changed';
comment on column mart.restatements.points_change is 'by how many the points given changed';
comment on column mart.restatements.first_restated_at is 'first of the newest changes of these rows';
comment on column mart.restatements.last_restated_at is 'last of them';
