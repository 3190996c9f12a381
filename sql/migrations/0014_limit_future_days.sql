-- purpose: the last day of which a row may be, beside the first: rows of another century are in no mart
-- Both days are fixed: what is plausible must not hang on the day of a refresh, or what is computed of
-- the clients that changed would differ from what computing all of them gives.

create function mart.last_plausible_day() returns date
language sql immutable parallel safe
return date '2099-12-31';
comment on function mart.last_plausible_day() is 'the last day of which a row may be; rows dated after it are in no mart';
