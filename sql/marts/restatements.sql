-- question: which past days changed since they were first published, by how much and why?
-- grain: day x table x reason
-- formula: a day was first published by its reading (mart.readings). late: rows that came after it.
--   mutated: rows that it had and that are different now (a lot's remain as well). vanished: rows that
--   it had and the source has no longer; a row that moved to another client or day is vanished there
--   and late here. Operations are compared with their history: amounts are money of cheques, refunds
--   negative; points are added by lots. Rows of the other feeds have no amount, and the time of the
--   change says enough.
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

operation_rows as (
    select
        operation_date as day,
        client_id,
        component_type,
        operation_id,
        first_seen_at,
        synced_at,
        deleted_at,
        case
            when coalesce(cheque_id, 0) = 0 or bonus_id <> 0 then 0
            when is_refund then -abs(coalesce(amount, 0))
            else coalesce(amount, 0)
        end as amount,
        case
            when
                bonus_id <> 0 or (coalesce(cheque_id, 0) = 0 and coalesce(order_id, 0) = 0)
                then greatest(coalesce(added, 0), 0)
            else 0
        end as points
    from core.operations
),

earlier_operations as (
    select
        history.operation_date as day,
        history.client_id,
        history.component_type,
        history.operation_id,
        case
            when coalesce(history.cheque_id, 0) = 0 or history.bonus_id <> 0 then 0
            when history.is_refund then -abs(coalesce(history.amount, 0))
            else coalesce(history.amount, 0)
        end as amount,
        case
            when
                history.bonus_id <> 0
                or (coalesce(history.cheque_id, 0) = 0 and coalesce(history.order_id, 0) = 0)
                then greatest(coalesce(history.added, 0), 0)
            else 0
        end as points
    from history.operations as history
    inner join days
        on
            days.feed = 'operations'
            and days.day = history.operation_date
            and history.valid_from <= days.known_at
            and history.valid_to > days.known_at
    where history.deleted_at is null
),

changes as (
    select
        'operations' as table_name,
        present.day,
        case when present.deleted_at is null then 'mutated' else 'vanished' end as reason,
        present.synced_at as changed_at,
        case when present.deleted_at is null then present.amount else 0 end - earlier.amount
            as amount,
        case when present.deleted_at is null then present.points else 0 end - earlier.points
            as points
    from earlier_operations as earlier
    inner join operation_rows as present
        on
            present.day = earlier.day
            and present.client_id = earlier.client_id
            and present.component_type = earlier.component_type
            and present.operation_id = earlier.operation_id
    union all
    select
        'operations' as table_name,
        present.day,
        'late' as reason,
        present.first_seen_at as changed_at,
        present.amount,
        present.points
    from operation_rows as present
    inner join days on days.feed = 'operations' and days.day = present.day
    where present.first_seen_at > days.known_at and present.deleted_at is null
    union all
    select
        feeds.main_table as table_name,
        present.day,
        case
            when present.first_seen_at > days.known_at then 'late'
            when present.deleted_at is not null then 'vanished'
            else 'mutated'
        end as reason,
        present.synced_at as changed_at,
        0 as amount,
        0 as points
    from sync.feed_rows as present
    inner join sync.feeds on feeds.feed = present.feed and feeds.has_marts
    inner join days on days.feed = present.feed and days.day = present.day
    where
        present.feed <> 'operations'
        and present.synced_at > days.known_at
        and (present.first_seen_at <= days.known_at or present.deleted_at is null)
)

select
    day,
    table_name,
    reason,
    count(*) as rows,
    sum(amount) as amount_change,
    sum(points) as points_change,
    min(changed_at) as first_restated_at,
    max(changed_at) as last_restated_at
from changes
group by day, table_name, reason;

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
