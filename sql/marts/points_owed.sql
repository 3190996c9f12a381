-- question: what did we owe at the end of a day: as known today, and as known then?
-- grain: day on which something was owed
-- formula: the sum of mart.points_movements through the day, which is what mart.points_liability_daily adds
--   up to, and all of mart.points_liability_as_known_then. The two differ by rows that came late, changed
--   or vanished since; mart.restatements names the days. As known then is null on a day without a reading
--   of its own, and holds no points that only cheques state (mart.lots.is_told_by_cheque): the source never
--   reports what remains of them.
create or replace view mart.points_owed as
with changes as (
    select
        movement_date as first_day,
        lead(movement_date) over (order by movement_date) as end_day,
        sum(sum(points)) over (order by movement_date) as points
    from mart.points_movements
    where movement_date <= (select operations_day from mart.as_of)
    group by movement_date
)

select
    series::date as day,
    changes.points::numeric(19, 2) as as_known_now,
    then_known.points::numeric(19, 2) as as_known_then,
    case when readings.observed_date = series::date then 'read' else 'rolled back' end as method
from mart.as_of
cross join changes
cross join
    generate_series(
        changes.first_day::timestamp,
        coalesce(changes.end_day, as_of.operations_day + 1) - interval '1 day',
        interval '1 day'
    ) as series
inner join mart.readings_by_day as readings
    on readings.feed = 'operations' and readings.day = series::date
left join (
    select
        day,
        sum(outstanding_points) as points
    from mart.points_liability_as_known_then
    group by day
) as then_known on then_known.day = series::date
where changes.points <> 0;

comment on view mart.points_owed is 'points owed at the end of each day, as known today and as known then. Grain: day on which something was owed';
comment on column mart.points_owed.day is 'business day, at its end';
comment on column mart.points_owed.as_known_now is 'points owed, with all that is known today';
comment on column mart.points_owed.as_known_then is 'points owed, as the reading of the day saw it, without points that only cheques state; null without a reading of its own';
comment on column mart.points_owed.method is 'how as_known_now is known: read, or rolled back from a later reading';
