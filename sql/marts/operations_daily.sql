-- question: how many operations of a day are loaded?
-- grain: day with a live operation
-- formula: live rows of core.operations, of plausible days.
-- incremental: day
create materialized view mart.operations_daily as
select
    operation_date as day,
    count(*) as loaded_rows
from core.operations
where
    deleted_at is null
    and operation_date between mart.first_plausible_day() and mart.last_plausible_day()
group by operation_date;

create unique index on mart.operations_daily (day);

comment on materialized view mart.operations_daily is 'operations that are loaded. Grain: day';
comment on column mart.operations_daily.day is 'business day';
comment on column mart.operations_daily.loaded_rows is 'live rows of the day';
