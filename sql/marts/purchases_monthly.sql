-- question: who bought in a month, how often and after which pauses?
-- grain: month with a purchase
-- formula: sums over mart.purchase_months; the median is over all gaps of the month. Without members,
--   of whom the marts of operations know nothing: see mart.repeat_purchase.
-- incremental: month
create materialized view mart.purchases_monthly as
with by_buyer as (
    select
        month,
        count(*) filter (where purchases > 0) as buyers,
        count(*) filter (where purchases >= 2) as repeat_buyers,
        sum(purchases)::bigint as purchases,
        sum(purchase_amount) as purchase_amount,
        sum(net_sales) as net_sales
    from mart.purchase_months
    group by month
    having sum(purchases) > 0
)

select
    by_buyer.month,
    by_buyer.buyers,
    by_buyer.repeat_buyers,
    by_buyer.purchases,
    by_buyer.purchase_amount::numeric(19, 2) as purchase_amount,
    by_buyer.net_sales::numeric(19, 2) as net_sales,
    gaps.median_gap_days
from by_buyer
-- Only of the requested months: a condition on the month does not pass a join.
cross join lateral (
    select percentile_cont(0.5) within group (order by gap.days)::numeric as median_gap_days
    from mart.purchase_months
    cross join lateral unnest(purchase_months.gaps_days) as gap (days)
    where purchase_months.month = by_buyer.month
) as gaps;

create unique index on mart.purchases_monthly (month);

comment on materialized view mart.purchases_monthly is 'purchases of all stores. Grain: month with a purchase';
comment on column mart.purchases_monthly.month is 'first day of the month';
comment on column mart.purchases_monthly.buyers is 'clients with a purchase';
comment on column mart.purchases_monthly.repeat_buyers is 'clients with two cheques or more';
comment on column mart.purchases_monthly.purchases is 'cheques that are no refund';
comment on column mart.purchases_monthly.purchase_amount is 'amount of purchases, in money';
comment on column mart.purchases_monthly.net_sales is 'purchases less refunds, in money';
comment on column mart.purchases_monthly.median_gap_days is 'median days since the purchase before; null when there was none';
