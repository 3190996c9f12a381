-- question: what does each store sell, and which points pass over its counter?
-- grain: day x partner x store (as the rows name them: null and empty stay)
-- formula: purchases are cheques that are no refund; net sales are purchases less refunds; the average
--   cheque is the amount of purchases / purchases; points added by the lots that name the store,
--   redeemed by its cheques; clients with a purchase.
-- incremental: day
create materialized view mart.store_daily as
with pieces as (
    select
        day,
        partner_name,
        pos_id,
        purchases,
        net_sales,
        purchase_amount,
        0 as points_added,
        redeemed as points_redeemed,
        refunds,
        refund_amount,
        clients
    from mart.sales_daily
    where day <= (select operations_day from mart.as_of)
    union all
    select
        issue_date as day,
        partner_name,
        pos_id,
        0 as purchases,
        0 as net_sales,
        0 as purchase_amount,
        sum(added) as points_added,
        0 as points_redeemed,
        0 as refunds,
        0 as refund_amount,
        0 as clients
    from mart.lots
    where issue_date <= (select operations_day from mart.as_of)
    group by issue_date, partner_name, pos_id
)

select
    pieces.day,
    pieces.partner_name,
    pieces.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    sum(pieces.purchases)::bigint as purchases,
    sum(pieces.net_sales)::numeric(19, 2) as net_sales,
    round(sum(pieces.purchase_amount) / nullif(sum(pieces.purchases), 0), 2)::numeric(19, 2)
        as average_cheque,
    sum(pieces.points_added)::numeric(19, 2) as points_added,
    sum(pieces.points_redeemed)::numeric(19, 2) as points_redeemed,
    sum(pieces.refunds)::bigint as refunds,
    sum(pieces.refund_amount)::numeric(19, 2) as refund_amount,
    sum(pieces.clients)::bigint as clients
from pieces
left join core.points_of_sale on points_of_sale.pos_id = pieces.pos_id
group by pieces.day, pieces.partner_name, pieces.pos_id, points_of_sale.name;

create unique index on mart.store_daily (day, partner_name, pos_id);

comment on materialized view mart.store_daily is 'sales and points of each store. Grain: day, partner, store';
comment on column mart.store_daily.day is 'business day';
comment on column mart.store_daily.partner_name is 'partner, as mart.display_text shows it; null or empty when unknown';
comment on column mart.store_daily.pos_id is 'point of sale; null when unknown, as for gifts';
comment on column mart.store_daily.store_name is 'its name';
comment on column mart.store_daily.purchases is 'cheques that are no refund';
comment on column mart.store_daily.net_sales is 'purchases less refunds, in money';
comment on column mart.store_daily.average_cheque is 'amount of purchases / purchases, without refunds';
comment on column mart.store_daily.points_added is 'points given';
comment on column mart.store_daily.points_redeemed is 'points redeemed on cheques';
comment on column mart.store_daily.refunds is 'cheques that are refunds';
comment on column mart.store_daily.refund_amount is 'their absolute amount';
comment on column mart.store_daily.clients is 'clients with a purchase';
