-- question: what did each store sell on a day?
-- grain: day x partner x store (as the rows name them: null and empty stay)
-- formula: sums of mart.cheques. Purchases are cheques that are no refund; net sales are purchases less
--   refunds; discount, certificates and coupons are those of purchases; clients with a purchase. Days
--   that have not ended are here too, but none of the future. Other marts by day are made of it.
create view refresh.sales_daily as
select
    cheques.day,
    cheques.partner_name,
    cheques.pos_id,
    count(*) filter (where not cheques.is_refund) as purchases,
    count(*) filter (where cheques.is_refund) as refunds,
    coalesce(sum(cheques.amount) filter (where not cheques.is_refund), 0)::numeric(19, 2)
        as purchase_amount,
    coalesce(sum(abs(cheques.amount)) filter (where cheques.is_refund), 0)::numeric(19, 2)
        as refund_amount,
    sum(cheques.net_amount)::numeric(19, 2) as net_sales,
    sum(cheques.redeemed)::numeric(19, 2) as redeemed,
    coalesce(sum(cheques.redeemed) filter (where not cheques.is_refund), 0)::numeric(19, 2)
        as redeemed_on_purchases,
    coalesce(sum(cheques.discount) filter (where not cheques.is_refund), 0)::numeric(19, 2)
        as discount,
    coalesce(
        sum(cheques.certificate_redeemed) filter (where not cheques.is_refund), 0
    )::numeric(19, 2)
        as certificate_redeemed,
    count(*) filter (where cheques.has_coupon and not cheques.is_refund) as coupon_uses,
    count(distinct cheques.client_id) filter (where not cheques.is_refund) as clients
from refresh.days
inner join mart.cheques on cheques.day = days.day
where days.day <= (select operations_loaded_day from mart.as_of)
group by cheques.day, cheques.partner_name, cheques.pos_id;

create table mart.sales_daily as table refresh.sales_daily with no data;
create index on mart.sales_daily (day);

comment on table mart.sales_daily is 'sales of each store, of days that have not ended too. Grain: day, partner, store';
comment on column mart.sales_daily.day is 'business day';
comment on column mart.sales_daily.partner_name is 'partner, as mart.display_text shows it; null or empty when unknown';
comment on column mart.sales_daily.pos_id is 'point of sale; null when unknown';
comment on column mart.sales_daily.purchases is 'cheques that are no refund';
comment on column mart.sales_daily.refunds is 'cheques that are refunds';
comment on column mart.sales_daily.purchase_amount is 'amount of purchases, in money';
comment on column mart.sales_daily.refund_amount is 'absolute amount of refunds, in money';
comment on column mart.sales_daily.net_sales is 'purchases less refunds, in money';
comment on column mart.sales_daily.redeemed is 'points redeemed';
comment on column mart.sales_daily.redeemed_on_purchases is 'of them, on purchases';
comment on column mart.sales_daily.discount is 'discounts of purchases, in money';
comment on column mart.sales_daily.certificate_redeemed is 'paid by gift certificates on purchases, in money';
comment on column mart.sales_daily.coupon_uses is 'purchases with a coupon';
comment on column mart.sales_daily.clients is 'clients with a purchase';
