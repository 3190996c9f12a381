-- purpose: put into the scope of a refresh the clients of whom more is to be told as days have passed
-- parameters: after_day, last_day (days that have come lie after the one, through the other)
-- Lots of theirs reached their expiry day, or cheques that were loaded before count by now. What no
-- row explains stands on the newest day: it moves on there, and nothing of its client has to be
-- computed for that.
with moved as (
    update mart.points_movements
    set movement_date = as_of.operations_day
    from mart.as_of
    where points_movements.kind = 'unexplained' and movement_date <> as_of.operations_day
)

insert into refresh.scope (client_id)
select client_id
from mart.lots
where expiry_date > %(after_day)s and expiry_date <= %(last_day)s
union
select client_id
from mart.cheques
where day > %(after_day)s and day <= %(last_day)s
on conflict do nothing;
