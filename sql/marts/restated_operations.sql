-- question: which operations of a past day changed since it was first published?
-- grain: day x reason
-- formula: as mart.restatements. A row that names a cheque weighs nothing where the cheque's own row
--   is live, of whatever day; else the first of those of its day does.
create view refresh.restated_operations as
with days as (
    select
        days.day,
        readings.known_at
    from refresh.days
    inner join mart.readings_by_day as readings
        on readings.feed = 'operations' and readings.day = days.day
),

-- The rows that a reading had and that are not as they were, as then and as now.
versions as (
    select
        earlier.operation_date,
        earlier.client_id,
        earlier.component_type,
        earlier.operation_id,
        earlier.cheque_id,
        earlier.bonus_id,
        earlier.order_id,
        earlier.is_refund,
        earlier.amount,
        earlier.added,
        false as is_present,
        case when present.deleted_at is null then 'mutated' else 'vanished' end as reason,
        present.synced_at as changed_at
    from history.operations as earlier
    inner join days
        on
            days.day = earlier.operation_date
            and earlier.valid_from <= days.known_at
            and earlier.valid_to > days.known_at
    inner join core.operations as present
        on
            present.operation_date = earlier.operation_date
            and present.client_id = earlier.client_id
            and present.component_type = earlier.component_type
            and present.operation_id = earlier.operation_id
    where
        earlier.deleted_at is null
        and (
            present.deleted_at is not null
            or mart.content_of(to_jsonb(present)) <> mart.content_of(to_jsonb(earlier))
        )
),

changed_operations as (
    select *
    from versions
    union all
    select
        present.operation_date,
        present.client_id,
        present.component_type,
        present.operation_id,
        present.cheque_id,
        present.bonus_id,
        present.order_id,
        present.is_refund,
        present.amount,
        present.added,
        true as is_present,
        versions.reason,
        versions.changed_at
    from versions
    inner join core.operations as present
        on
            present.operation_date = versions.operation_date
            and present.client_id = versions.client_id
            and present.component_type = versions.component_type
            and present.operation_id = versions.operation_id
    where versions.reason = 'mutated'
    union all
    select
        present.operation_date,
        present.client_id,
        present.component_type,
        present.operation_id,
        present.cheque_id,
        present.bonus_id,
        present.order_id,
        present.is_refund,
        present.amount,
        present.added,
        true as is_present,
        'late' as reason,
        present.first_seen_at as changed_at
    from core.operations as present
    inner join days on days.day = present.operation_date
    where present.first_seen_at > days.known_at and present.deleted_at is null
),

named_cheques as (
    select
        changed.*,
        row_number() over (
            partition by
                changed.operation_date,
                changed.client_id,
                changed.cheque_id,
                coalesce(changed.bonus_id, 0) <> 0,
                changed.is_present,
                changed.reason
            order by
                changed.operation_id <> changed.cheque_id,
                changed.component_type,
                changed.operation_id
        ) as place
    from changed_operations as changed
),

weighed as (
    select
        named.operation_date as day,
        named.reason,
        named.changed_at,
        named.is_present or named.reason = 'vanished' as is_row,
        case when named.is_present then 1 else -1 end as sign,
        case
            when coalesce(named.cheque_id, 0) = 0 or named.bonus_id <> 0 or named.place > 1 then 0
            when
                named.operation_id <> named.cheque_id
                and exists (
                    select from core.operations as own
                    where
                        own.client_id = named.client_id
                        and own.cheque_id = named.cheque_id
                        and own.operation_id = own.cheque_id
                        and coalesce(own.bonus_id, 0) = 0
                        and own.deleted_at is null
                )
                then 0
            when named.is_refund then -abs(coalesce(named.amount, 0))
            else coalesce(named.amount, 0)
        end as amount,
        case
            when
                named.bonus_id <> 0
                or (coalesce(named.cheque_id, 0) = 0 and coalesce(named.order_id, 0) = 0)
                then greatest(coalesce(named.added, 0), 0)
            else 0
        end as points
    from named_cheques as named
)

select
    day,
    reason,
    sum(is_row::integer)::bigint as rows,
    sum(sign * amount)::numeric(19, 2) as amount_change,
    sum(sign * points)::numeric(19, 2) as points_change,
    min(changed_at) as first_restated_at,
    max(changed_at) as last_restated_at
from weighed
group by day, reason;

create table mart.restated_operations as table refresh.restated_operations with no data;
create unique index on mart.restated_operations (day, reason);

comment on table mart.restated_operations is 'operations of past days that changed since these were first published. Grain: day, reason';
comment on column mart.restated_operations.day is 'business day';
comment on column mart.restated_operations.reason is 'late, mutated or vanished';
comment on column mart.restated_operations.rows is 'rows that changed';
comment on column mart.restated_operations.amount_change is 'by how much the money of cheques changed';
comment on column mart.restated_operations.points_change is 'by how many the points given by bonus rows changed; points that only cheques state are not in it';
comment on column mart.restated_operations.first_restated_at is 'first of the newest changes of these rows';
comment on column mart.restated_operations.last_restated_at is 'last of them';
