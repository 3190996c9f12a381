-- temporary views of a publish: what its readings cover completely

-- name: cover
-- purpose: what the readings of a publish cover completely, so that rows they lack are gone
create or replace temp view covered_clients as
select client_id from publishing where reading = 'full' and client_id is not null;

create or replace temp view covered_days as
select day as registration_date from publishing where reading = 'full' and day is not null;

-- name: cover_offers
-- purpose: what readings of favourites cover completely besides offers: goods of offers, goods chosen
-- Goods missing from an offer are gone if the goods of the offer were read. Chosen goods are gone if
-- the envelope contained the list, even an empty one. Those of a retired client whose cards belong to
-- another client are chosen by that one now.
create or replace temp view covered_offers as
select client_id, favourite_id from incoming_favourite_offers where goods_read;

create or replace temp view covered_envelopes as
select client_id from incoming_favourite_stats where has_groups
union
select client_id from sync.retired_clients
where retired_at is not null and current_client_id is not null;
