-- purpose: what readings of favourites cover wholly beside the offers: goods of offers, goods chosen
-- Goods that an offer lacks are gone where its goods were read; goods chosen are, where the header
-- told them, though it told none.
create or replace temp view covered_offers as
select client_id, favourite_id from incoming_favourite_offers where goods_read;

create or replace temp view covered_headers as
select client_id from incoming_favourite_stats where tells_groups;
