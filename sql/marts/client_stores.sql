-- question: in which stores does a client buy, and which is the main one?
-- grain: client x store
-- formula: cheques that are no refund, through the last day of operations, of which the store is known.
--   The main store of a client is that of most purchases; of equal counts, that of the newest one, then
--   that of the lowest id. So each client with such a purchase has one.
create or replace view mart.client_stores as
with bought as (
    select
        cheques.client_id,
        cheques.pos_id,
        min(cheques.day) as first_purchase_date,
        max(cheques.day) as last_purchase_date,
        count(*) as purchases,
        sum(cheques.amount)::numeric(19, 2) as purchase_amount
    from mart.cheques
    cross join mart.as_of
    left join refresh.marts as refreshed on refreshed.name = 'cheques'
    where
        not cheques.is_refund
        and cheques.pos_id is not null
        and cheques.day <= coalesce(refreshed.operations_day, as_of.operations_day)
    group by cheques.client_id, cheques.pos_id
)

select
    bought.client_id,
    bought.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    bought.first_purchase_date,
    bought.last_purchase_date,
    bought.purchases,
    bought.purchase_amount,
    row_number() over (
        partition by bought.client_id
        order by bought.purchases desc, bought.last_purchase_date desc, bought.pos_id asc
    ) = 1 as is_main
from bought
left join core.points_of_sale on points_of_sale.pos_id = bought.pos_id;

comment on view mart.client_stores is 'where a client buys. Grain: client, store';
comment on column mart.client_stores.client_id is 'the client';
comment on column mart.client_stores.pos_id is 'point of sale';
comment on column mart.client_stores.store_name is 'its name; null when none was sent';
comment on column mart.client_stores.first_purchase_date is 'day of the first purchase there';
comment on column mart.client_stores.last_purchase_date is 'day of the last purchase there';
comment on column mart.client_stores.purchases is 'cheques that are no refund';
comment on column mart.client_stores.purchase_amount is 'their amount, in money';
comment on column mart.client_stores.is_main is 'the main store of the client, one for each: that of most purchases, of equal counts that of the newest one';
