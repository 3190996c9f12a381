-- question: do buyers come back?
-- grain: month
-- formula: buyers with a purchase in the month; repeat buyers have two cheques or more in it;
--   frequency = purchases / buyers; the gap is the days from a client's purchase before (in whatever
--   month) to one in this month, its median over all of them; ARPU = net sales / buyers; the average
--   cheque is the amount of purchases / purchases, refunds apart.
create materialized view mart.repeat_purchase as
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
),

gaps as (
    select
        purchase_months.month,
        percentile_cont(0.5) within group (order by gap.days)::numeric as median_gap_days
    from mart.purchase_months
    cross join lateral unnest(purchase_months.gaps_days) as gap (days)
    group by purchase_months.month
)

select
    by_buyer.month,
    by_buyer.buyers,
    by_buyer.repeat_buyers,
    round(by_buyer.repeat_buyers::numeric / by_buyer.buyers, 4) as repeat_share,
    by_buyer.purchases,
    round(by_buyer.purchases::numeric / by_buyer.buyers, 4) as frequency,
    gaps.median_gap_days,
    by_buyer.net_sales,
    round(by_buyer.net_sales / by_buyer.buyers, 2) as arpu,
    round(by_buyer.purchase_amount / by_buyer.purchases, 2) as average_cheque
from by_buyer
left join gaps on gaps.month = by_buyer.month;

create unique index on mart.repeat_purchase (month);

comment on materialized view mart.repeat_purchase is 'how buyers come back. Grain: month with a purchase';
comment on column mart.repeat_purchase.month is 'first day of the month';
comment on column mart.repeat_purchase.buyers is 'clients with a purchase';
comment on column mart.repeat_purchase.repeat_buyers is 'clients with two cheques or more';
comment on column mart.repeat_purchase.repeat_share is 'repeat buyers / buyers';
comment on column mart.repeat_purchase.purchases is 'cheques that are no refund';
comment on column mart.repeat_purchase.frequency is 'purchases / buyers';
comment on column mart.repeat_purchase.median_gap_days is 'median days since the purchase before; null when there was none';
comment on column mart.repeat_purchase.net_sales is 'purchases less refunds, in money';
comment on column mart.repeat_purchase.arpu is 'net sales / buyers';
comment on column mart.repeat_purchase.average_cheque is 'amount of purchases / purchases, refunds apart';
