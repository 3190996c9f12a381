-- question: whose points expire soon?
-- grain: client x expiry day
-- formula: what remains of lots given by the last day of operations (as_of_date) that expire in the 90
--   days after it. A lot that expires on as_of_date itself is gone. horizon_days is the least of 7,
--   30, 60 and 90 that holds the day: points that expire in 30 days are those with horizon_days <= 30.
create materialized view mart.points_expiring as
select
    as_of.operations_day as as_of_date,
    lots.client_id,
    lots.expiry_date,
    lots.expiry_date - as_of.operations_day as days_left,
    case
        when lots.expiry_date - as_of.operations_day <= 7 then 7
        when lots.expiry_date - as_of.operations_day <= 30 then 30
        when lots.expiry_date - as_of.operations_day <= 60 then 60
        else 90
    end as horizon_days,
    sum(lots.remain) as points,
    round(sum(lots.remain) * parameters.point_value, 2) as points_value
from mart.lots
cross join mart.as_of
cross join mart.parameters
where
    lots.remain > 0
    and lots.issue_date <= as_of.operations_day
    and lots.expiry_date between as_of.operations_day + 1 and as_of.operations_day + 90
group by as_of.operations_day, lots.client_id, lots.expiry_date, parameters.point_value;

create unique index on mart.points_expiring (client_id, expiry_date);

comment on materialized view mart.points_expiring is 'points that expire in the next 90 days. Grain: client, expiry day';
comment on column mart.points_expiring.as_of_date is 'last day of operations';
comment on column mart.points_expiring.client_id is 'the client';
comment on column mart.points_expiring.expiry_date is 'business day at whose end the points are gone';
comment on column mart.points_expiring.days_left is 'days from as_of_date to it';
comment on column mart.points_expiring.horizon_days is 'least of 7, 30, 60 and 90 days in which they expire';
comment on column mart.points_expiring.points is 'points, active and pending';
comment on column mart.points_expiring.points_value is 'points in money';
