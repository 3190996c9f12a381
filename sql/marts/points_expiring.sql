-- question: whose points expire soon?
-- grain: client x expiry day
-- formula: what remains of lots given by the last day of operations (as_of_date) that expire in the 90
--   days after it. A lot that expires on as_of_date itself is gone. horizon_days is the least of 7,
--   30, 60 and 90 that holds the day: points that expire in 30 days are those with horizon_days <= 30.
--   Money is by the point value of as_of_date. What remains is that of the newest reading, so points
--   that were redeemed or expired since as_of_date are not here.
create or replace view mart.points_expiring as
select
    shown.as_of_date,
    expiring.client_id,
    expiring.expiry_date,
    expiring.expiry_date - shown.as_of_date as days_left,
    case
        when expiring.expiry_date - shown.as_of_date <= 7 then 7
        when expiring.expiry_date - shown.as_of_date <= 30 then 30
        when expiring.expiry_date - shown.as_of_date <= 60 then 60
        else 90
    end as horizon_days,
    expiring.points,
    (expiring.points * parameters.point_value)::numeric(19, 2) as points_value
from mart.expiring_lots as expiring
cross join (
    select coalesce(refreshed.operations_day, as_of.operations_day) as as_of_date
    from mart.as_of
    left join refresh.marts as refreshed on refreshed.name = 'expiring_lots'
) as shown
inner join mart.dated_parameters as parameters
    on shown.as_of_date between parameters.first_day and parameters.last_day;

comment on view mart.points_expiring is 'points that expire in the next 90 days. Grain: client, expiry day';
comment on column mart.points_expiring.as_of_date is 'last day of operations';
comment on column mart.points_expiring.client_id is 'the client';
comment on column mart.points_expiring.expiry_date is 'business day at whose end the points are gone';
comment on column mart.points_expiring.days_left is 'days from as_of_date to it';
comment on column mart.points_expiring.horizon_days is 'least of 7, 30, 60 and 90 days in which they expire';
comment on column mart.points_expiring.points is 'points, active, pending or blocked: what remains in the newest reading, made after as_of_date';
comment on column mart.points_expiring.points_value is 'points in money';
