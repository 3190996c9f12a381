-- purpose: the last day of each feed, and what the marts are parameterized by
select
    as_of.operations_day,
    as_of.leads_day,
    as_of.favourites_day,
    parameters.timezone,
    parameters.point_value,
    parameters.expected_breakage,
    parameters.sla_hours,
    parameters.closing_sla_hours,
    parameters.rfm_days
from mart.parameters
cross join mart.as_of;
