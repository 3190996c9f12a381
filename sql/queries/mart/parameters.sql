-- mart.parameters: what the marts are computed with

-- name: store_time_zone
-- purpose: let the marts cut days where the sync cuts them
-- parameters: zone
update mart.parameters
set timezone = %(zone)s
where timezone <> %(zone)s;

-- name: time_zone_of_marts
-- purpose: the time zone in which the marts cut days
select timezone
from mart.parameters;
