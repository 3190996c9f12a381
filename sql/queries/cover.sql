-- purpose: what the readings of a publish cover wholly, so that rows they lack are gone
create or replace temp view covered_clients as
select client_id from publishing where reading = 'full' and client_id > 0;

create or replace temp view covered_days as
select window_from as registration_date from publishing where reading = 'full' and client_id = 0;
