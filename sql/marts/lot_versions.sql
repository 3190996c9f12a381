-- question: what was left of each lot at the end of a past day?
-- grain: lot x version, with the business days that the version covers
-- formula: versions of core and history, each from the first day whose reading (mart.readings) had
--   it up to the day whose reading had the next. For days that a later reading covers (a backfill)
--   points spent in between are taken off already. A lot that ended between midnight and the reading of
--   the day before is shown on that day with what it held when it ended, by mart.points_movements.
--   Lots that only a cheque names have no versions.
create or replace view mart.lot_versions as
with versions as (
    select
        client_id,
        operation_id,
        operation_date,
        bonus_source,
        added,
        remain,
        is_active,
        active_from,
        expires_at,
        bonus_id,
        cheque_id,
        order_id,
        synced_at as valid_from,
        'infinity'::timestamptz as valid_to
    from core.operations
    where
        added > 0
        and remain <> 0
        and deleted_at is null
        and operation_date between mart.first_plausible_day() and mart.last_plausible_day()
    union all
    select
        client_id,
        operation_id,
        operation_date,
        bonus_source,
        added,
        remain,
        is_active,
        active_from,
        expires_at,
        bonus_id,
        cheque_id,
        order_id,
        valid_from,
        valid_to
    from history.operations
    where
        added > 0
        and remain <> 0
        and deleted_at is null
        and operation_date between mart.first_plausible_day() and mart.last_plausible_day()
),

-- There are few publishes and many versions.
moments as (
    select valid_from as moment from versions
    union
    select valid_to as moment from versions
),

days as (
    select
        moments.moment,
        min(readings.first_day) as day
    from moments
    left join mart.readings
        on readings.feed = 'operations' and readings.known_at >= moments.moment
    group by moments.moment
)

select
    versions.client_id,
    versions.operation_id as lot_id,
    versions.operation_date as issue_date,
    versions.bonus_source,
    versions.added,
    versions.remain,
    versions.is_active,
    coalesce(
        (versions.active_from at time zone parameters.timezone)::date, versions.operation_date
    ) as active_date,
    (versions.expires_at at time zone parameters.timezone)::date as expiry_date,
    greatest(began.day, versions.operation_date) as first_day,
    least(
        coalesce(ended.day, as_of.operations_day + 1),
        (versions.expires_at at time zone parameters.timezone)::date,
        as_of.operations_day + 1
    ) as end_day
from versions
inner join days as began on began.moment = versions.valid_from
inner join days as ended on ended.moment = versions.valid_to
cross join mart.parameters
cross join mart.as_of
where
    (
        versions.bonus_id <> 0
        or (coalesce(versions.cheque_id, 0) = 0 and coalesce(versions.order_id, 0) = 0)
    )
    and greatest(began.day, versions.operation_date) < least(
        coalesce(ended.day, as_of.operations_day + 1),
        (versions.expires_at at time zone parameters.timezone)::date,
        as_of.operations_day + 1
    )
    and began.day is not null
    -- History is dropped by the month in which a version ended, so some versions outlive their row.
    and versions.operation_date >= coalesce(as_of.operations_kept_from, '-infinity')
union all
select
    ended.client_id,
    ended.lot_id,
    ended.issue_date,
    ended.bonus_source,
    null::numeric(19, 2) as added,
    (-ended.points)::numeric(19, 2) as remain,
    true as is_active,
    ended.issue_date as active_date,
    ended.expiry_date,
    readings.last_day as first_day,
    ended.movement_date as end_day
from mart.points_movements as ended
inner join mart.readings
    on readings.feed = 'operations' and readings.last_day + 1 = ended.movement_date
inner join core.operations
    on
        operations.operation_date = ended.issue_date
        and operations.client_id = ended.client_id
        and operations.component_type = ended.component_type
        and operations.operation_id = ended.lot_id
where
    ended.kind = 'expired'
    and ended.issue_date <= readings.last_day
    and operations.remain = 0
    and operations.synced_at <= readings.known_at;

comment on view mart.lot_versions is 'what was left of each lot on past days, from history; versions with nothing left are not here. Grain: lot, version';
comment on column mart.lot_versions.client_id is 'the client';
comment on column mart.lot_versions.lot_id is 'the lot (operation_id)';
comment on column mart.lot_versions.issue_date is 'business day on which the points were given';
comment on column mart.lot_versions.bonus_source is 'why they were given, see core.bonus_sources';
comment on column mart.lot_versions.added is 'points given; null for a lot that ended before the reading';
comment on column mart.lot_versions.remain is 'points left in this version';
comment on column mart.lot_versions.is_active is 'the source said that they could be used';
comment on column mart.lot_versions.active_date is 'business day from which they can be used';
comment on column mart.lot_versions.expiry_date is 'business day at whose end they are gone; null when they do not expire';
comment on column mart.lot_versions.first_day is 'first business day at whose end this was outstanding';
comment on column mart.lot_versions.end_day is 'first business day at whose end it no longer was';
