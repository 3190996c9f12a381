-- question: how many points did the programme owe at the end of a day, as the reading of that day saw it?
-- grain: day that has a reading of its own x bonus source x expiry month
-- formula: what remained of the lots given by the day, in the version that the day's reading brought
--   (mart.lot_versions). Later rows, rows that vanished and later readings change nothing of it. A day
--   without a reading of its own has no row: nobody knew then. Points that only cheques state
--   (mart.lots.is_told_by_cheque) are not here: the source never reports what remains of them. As known
--   today: mart.points_liability_daily.
create or replace view mart.points_liability_as_known_then as
select
    readings.last_day as day,
    lot_versions.bonus_source,
    date_trunc('month', lot_versions.expiry_date)::date as expiry_month,
    count(*) filter (where lot_versions.remain > 0) as lots,
    sum(lot_versions.remain) filter (where not pending.is_pending)::numeric(19, 2)
        as active_points,
    sum(lot_versions.remain) filter (where pending.is_pending)::numeric(19, 2)
        as pending_points,
    sum(lot_versions.remain)::numeric(19, 2) as outstanding_points,
    readings.known_at
from mart.readings
inner join mart.lot_versions
    on readings.last_day >= lot_versions.first_day and readings.last_day < lot_versions.end_day
cross join lateral (
    select
        lot_versions.is_active is false or lot_versions.active_date > readings.last_day
            as is_pending
) as pending
where readings.feed = 'operations'
group by
    readings.last_day,
    lot_versions.bonus_source,
    date_trunc('month', lot_versions.expiry_date)::date,
    readings.known_at;

comment on view mart.points_liability_as_known_then is 'points owed at the end of each day that has a reading of its own, as that reading saw it, without points that only cheques state. Grain: day, bonus source, expiry month';
comment on column mart.points_liability_as_known_then.day is 'business day, at its end';
comment on column mart.points_liability_as_known_then.bonus_source is 'why the points were given';
comment on column mart.points_liability_as_known_then.expiry_month is 'first day of the month in which they expire; null when they do not';
comment on column mart.points_liability_as_known_then.lots is 'lots with points left';
comment on column mart.points_liability_as_known_then.active_points is 'points that could be redeemed; null when none';
comment on column mart.points_liability_as_known_then.pending_points is 'points not usable yet, or blocked; null when none';
comment on column mart.points_liability_as_known_then.outstanding_points is 'active and pending points';
comment on column mart.points_liability_as_known_then.known_at is 'when that reading was published';
