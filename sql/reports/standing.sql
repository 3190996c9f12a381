-- purpose: the last day of each feed, and what the marts are parameterized by on %(day)s
-- Leads are those of the newest day, whatever day is shown: so are the hours in which they had to be
-- answered.
select
    as_of.operations_day,
    as_of.leads_day,
    as_of.favourites_day,
    parameters.timezone,
    shown.point_value,
    shown.expected_breakage,
    newest.sla_hours,
    newest.closing_sla_hours,
    parameters.rfm_days
from mart.parameters
cross join mart.as_of
inner join mart.dated_parameters as shown
    on %(day)s between shown.first_day and shown.last_day
inner join mart.dated_parameters as newest
    on coalesce(as_of.leads_day, %(day)s) between newest.first_day and newest.last_day;
