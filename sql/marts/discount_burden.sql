-- question: how much of what was bought did the programme pay for?
-- grain: day x store
-- formula: of purchases (refunds apart): (discount + points redeemed x point_value + certificates) /
--   amount. Coupon uses are purchases with a coupon number.
create materialized view mart.discount_burden as
select
    cheques.day,
    cheques.pos_id,
    points_of_sale.name as store_name,
    sum(cheques.amount) as purchase_amount,
    sum(cheques.discount) as discount,
    round(sum(cheques.redeemed) * parameters.point_value, 2) as redeemed_value,
    sum(cheques.certificate_redeemed) as certificate_redeemed,
    round(
        (
            sum(cheques.discount)
            + sum(cheques.redeemed) * parameters.point_value
            + sum(cheques.certificate_redeemed)
        ) / nullif(sum(cheques.amount), 0),
        4
    ) as burden,
    count(*) filter (where cheques.has_coupon) as coupon_uses
from mart.cheques
cross join mart.parameters
left join core.points_of_sale on points_of_sale.pos_id = cheques.pos_id
where not cheques.is_refund and cheques.day <= (select operations_day from mart.as_of)
group by cheques.day, cheques.pos_id, points_of_sale.name, parameters.point_value;

create unique index on mart.discount_burden (day, pos_id);

comment on materialized view mart.discount_burden is 'what discounts, points and certificates paid of the purchases. Grain: day, store';
comment on column mart.discount_burden.day is 'business day';
comment on column mart.discount_burden.pos_id is 'point of sale; null when not told';
comment on column mart.discount_burden.store_name is 'its name';
comment on column mart.discount_burden.purchase_amount is 'amount of purchases, in money';
comment on column mart.discount_burden.discount is 'discounts, in money';
comment on column mart.discount_burden.redeemed_value is 'points redeemed, in money';
comment on column mart.discount_burden.certificate_redeemed is 'paid by gift certificates, in money';
comment on column mart.discount_burden.burden is '(discount + redeemed + certificates) / amount; null when the amount is 0';
comment on column mart.discount_burden.coupon_uses is 'purchases with a coupon';
