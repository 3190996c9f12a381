-- question: how much is given back, and how many points with it?
-- grain: day x store
-- formula: refunds and purchases of the day (a refund is dated by itself, not by its purchase); the
--   refund rate by count is refunds / purchases, by amount the absolute refunds / purchases. Points
--   clawed back are those of mart.points_movements, on the day of the refund, in its store where the
--   refund states them, else in the store of the lot.
-- incremental: day
create materialized view mart.refunds as
with pieces as (
    select
        day,
        pos_id,
        purchases,
        refunds,
        purchase_amount,
        refund_amount,
        0 as points
    from mart.sales_daily
    where day <= (select operations_day from mart.as_of)
    union all
    select
        movement_date as day,
        pos_id,
        0 as purchases,
        0 as refunds,
        0 as purchase_amount,
        0 as refund_amount,
        -points as points
    from mart.points_movements
    where kind = 'clawed_back' and movement_date <= (select operations_day from mart.as_of)
)

select
    pieces.day,
    pieces.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    sum(pieces.purchases)::bigint as purchases,
    sum(pieces.refunds)::bigint as refunds,
    round(sum(pieces.refunds) / nullif(sum(pieces.purchases), 0), 4)
        as refund_rate_by_count,
    sum(pieces.purchase_amount)::numeric(19, 2) as purchase_amount,
    sum(pieces.refund_amount)::numeric(19, 2) as refund_amount,
    round(sum(pieces.refund_amount) / nullif(sum(pieces.purchase_amount), 0), 4)
        as refund_rate_by_amount,
    sum(pieces.points)::numeric(19, 2) as points_clawed_back
from pieces
left join core.points_of_sale on points_of_sale.pos_id = pieces.pos_id
group by pieces.day, pieces.pos_id, points_of_sale.name;

create unique index on mart.refunds (day, pos_id);

comment on materialized view mart.refunds is 'refunds, and the points that went with them. Grain: day, store';
comment on column mart.refunds.day is 'business day';
comment on column mart.refunds.pos_id is 'point of sale; null when unknown';
comment on column mart.refunds.store_name is 'its name';
comment on column mart.refunds.purchases is 'cheques that are no refund';
comment on column mart.refunds.refunds is 'refunds';
comment on column mart.refunds.refund_rate_by_count is 'refunds / purchases; null without purchases';
comment on column mart.refunds.purchase_amount is 'amount of purchases, in money';
comment on column mart.refunds.refund_amount is 'absolute amount of refunds, in money';
comment on column mart.refunds.refund_rate_by_amount is 'refund amount / purchase amount; null without purchases';
comment on column mart.refunds.points_clawed_back is 'points taken back for refunds';
