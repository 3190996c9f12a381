-- purpose: offers whose goods were read, so that goods they lack are gone
create or replace temp view covered_offers as
select client_id, favourite_id from incoming_favourite_offers where goods_read;
