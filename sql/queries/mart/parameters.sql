-- mart.parameters: what the marts are computed with

-- name: time_zone_of_days
-- purpose: the time zone of the stored business days; no row before any was read
select timezone
from mart.parameters
where exists (select from sync.registration_days);
