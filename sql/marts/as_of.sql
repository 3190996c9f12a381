-- question: through which business day does each feed tell?
-- grain: one row
-- formula: the last day of the newest reading of the feed. Marts show no day beyond it: of today, a
--   reading brings a part.
create or replace view mart.as_of as
select
    max(last_day) filter (where feed = 'registrations') as registrations_day,
    max(last_day) filter (where feed = 'operations') as operations_day,
    max(last_day) filter (where feed = 'leads') as leads_day,
    max(last_day) filter (where feed = 'favourites') as favourites_day
from mart.readings;

comment on view mart.as_of is 'the last business day that each feed tells of; marts show no later one. Grain: one row';
comment on column mart.as_of.registrations_day is 'last day of the roster';
comment on column mart.as_of.operations_day is 'last day of operations';
comment on column mart.as_of.leads_day is 'last day of leads';
comment on column mart.as_of.favourites_day is 'last day of favourite products';
