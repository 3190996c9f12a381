-- purpose: remember up to which days and by which parameters the marts kept by client were computed
-- parameters: none
insert into refresh.horizons (through_day, newest_day, parameters)
select
    as_of.operations_day,
    as_of.operations_loaded_day,
    parameters::text
from mart.as_of
cross join mart.parameters
on conflict (is_only) do update set
    through_day = excluded.through_day,
    newest_day = excluded.newest_day,
    parameters = excluded.parameters;
