-- question: do buyers come back?
-- grain: month
-- formula: buyers with a purchase in the month; repeat buyers have two cheques or more in it;
--   frequency = purchases / buyers; the gap is the days from a client's purchase before (in whatever
--   month) to one in this month, its median over all of them; ARPU = net sales / buyers; the average
--   cheque is the amount of purchases / purchases, refunds apart.
create materialized view mart.repeat_purchase as
with purchases as (
    select
        date_trunc('month', day)::date as month,
        client_id,
        amount,
        day - lag(day) over (
            partition by client_id order by processed_at, cheque_id
        ) as gap_days
    from mart.cheques
    where not is_refund and day <= (select operations_day from mart.as_of)
),

buyers as (
    select
        month,
        client_id,
        count(*) as purchases
    from purchases
    group by month, client_id
),

by_buyer as (
    select
        month,
        count(*) as buyers,
        count(*) filter (where purchases >= 2) as repeat_buyers
    from buyers
    group by month
),

by_purchase as (
    select
        month,
        count(*) as purchases,
        sum(amount) as purchase_amount,
        percentile_cont(0.5) within group (order by gap_days)::numeric as median_gap_days
    from purchases
    group by month
),

sales as (
    select date_trunc('month', day)::date as month, sum(net_amount) as net_sales
    from mart.cheques
    where day <= (select operations_day from mart.as_of)
    group by date_trunc('month', day)::date
)

select
    by_buyer.month,
    by_buyer.buyers,
    by_buyer.repeat_buyers,
    round(by_buyer.repeat_buyers::numeric / by_buyer.buyers, 4) as repeat_share,
    by_purchase.purchases,
    round(by_purchase.purchases::numeric / by_buyer.buyers, 4) as frequency,
    by_purchase.median_gap_days,
    sales.net_sales,
    round(sales.net_sales / by_buyer.buyers, 2) as arpu,
    round(by_purchase.purchase_amount / by_purchase.purchases, 2) as average_cheque
from by_buyer
inner join by_purchase on by_purchase.month = by_buyer.month
inner join sales on sales.month = by_buyer.month;

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
