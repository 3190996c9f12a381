-- question: how much of what was bought did the programme pay for?
-- grain: day x store
-- formula: of purchases (without refunds): (discount + points redeemed x point_value of the day +
--   certificates) / amount. Coupon uses are purchases with a coupon number.
-- incremental: day
create materialized view mart.discount_burden as
select
    sales.day,
    sales.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    sum(sales.purchase_amount)::numeric(19, 2) as purchase_amount,
    sum(sales.discount)::numeric(19, 2) as discount,
    round(sum(sales.redeemed_on_purchases) * parameters.point_value, 2)::numeric(19, 2)
        as redeemed_value,
    sum(sales.certificate_redeemed)::numeric(19, 2) as certificate_redeemed,
    round(
        (
            sum(sales.discount)
            + sum(sales.redeemed_on_purchases) * parameters.point_value
            + sum(sales.certificate_redeemed)
        ) / nullif(sum(sales.purchase_amount), 0),
        4
    ) as burden,
    sum(sales.coupon_uses)::bigint as coupon_uses
from mart.sales_daily as sales
inner join mart.dated_parameters as parameters
    on sales.day between parameters.first_day and parameters.last_day
left join core.points_of_sale on points_of_sale.pos_id = sales.pos_id
where sales.purchases > 0 and sales.day <= (select operations_day from mart.as_of)
group by sales.day, sales.pos_id, points_of_sale.name, parameters.point_value;

create unique index on mart.discount_burden (day, pos_id);

comment on materialized view mart.discount_burden is 'what discounts, points and certificates paid of the purchases. Grain: day, store';
comment on column mart.discount_burden.day is 'business day';
comment on column mart.discount_burden.pos_id is 'point of sale; null when unknown';
comment on column mart.discount_burden.store_name is 'its name';
comment on column mart.discount_burden.purchase_amount is 'amount of purchases, in money';
comment on column mart.discount_burden.discount is 'discounts, in money';
comment on column mart.discount_burden.redeemed_value is 'points redeemed, in money';
comment on column mart.discount_burden.certificate_redeemed is 'paid by gift certificates, in money';
comment on column mart.discount_burden.burden is '(discount + redeemed + certificates) / amount; null when the amount is 0';
comment on column mart.discount_burden.coupon_uses is 'purchases with a coupon';
