-- mart.parameters: what the marts are computed with

-- name: store_time_zone
-- purpose: store the time zone of the sync, so that the marts use the same business days
-- parameters: zone
update mart.parameters
set timezone = %(zone)s
where timezone <> %(zone)s;

-- name: time_zone_of_marts
-- purpose: the time zone of the business days of the marts
select timezone
from mart.parameters;
