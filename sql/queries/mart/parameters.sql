-- mart.parameters: what the marts are computed with

-- name: store_time_zone
-- purpose: let the marts cut days where the sync cuts them
-- parameters: zone
update mart.parameters
set timezone = %(zone)s
where timezone <> %(zone)s;
