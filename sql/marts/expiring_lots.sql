-- question: which points expire soon, whatever the day?
-- grain: client x expiry day
-- formula: what remains of lots given by the last day of operations that expire in the 90 days after
--   it. What remains is that of the newest reading. mart.points_expiring shows it with the day: it would
--   be another row every day. As a day passes, a refresh removes what ended and adds what is that near
--   now, of all clients.
-- as days pass: end_expiring_lots, add_expiring_lots
create view refresh.expiring_lots as
select
    lots.client_id,
    lots.expiry_date,
    sum(lots.remain)::numeric(19, 2) as points
from refresh.scope
inner join mart.lots on lots.client_id = scope.client_id
cross join mart.as_of
where
    lots.remain > 0
    and lots.issue_date <= as_of.operations_day
    and lots.expiry_date between as_of.operations_day + 1 and as_of.operations_day + 90
group by lots.client_id, lots.expiry_date;

create table mart.expiring_lots as table refresh.expiring_lots with no data;
create unique index on mart.expiring_lots (client_id, expiry_date);
create index on mart.expiring_lots (expiry_date);

comment on table mart.expiring_lots is 'points that expire in the 90 days after the last known day. Grain: client, expiry day';
comment on column mart.expiring_lots.client_id is 'the client';
comment on column mart.expiring_lots.expiry_date is 'business day at whose end the points are gone';
comment on column mart.expiring_lots.points is 'points, active, pending or blocked: what remains in the newest reading, made after the last day of operations';
