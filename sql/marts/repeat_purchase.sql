-- question: do buyers come back, and what are buyers and members worth?
-- grain: month with a purchase
-- formula: buyers with a purchase in the month; repeat buyers have two cheques or more in it;
--   frequency = purchases / buyers; the gap is the days from a client's purchase before (in whatever
--   month) to one in this month, its median over all of them. ARPPU (per paying user) = net sales /
--   buyers; ARPU (per user) = net sales / members registered by the end of the month, or by the last
--   day known. The average cheque is the amount of purchases / purchases, without refunds. The newest
--   month is whole once its last day is known.
create materialized view mart.repeat_purchase as
with registered as (
    select registration_date as day, count(*) as members
    from mart.members
    group by registration_date
),

joined as (
    select monthly.month, sum(registered.members)::bigint as members
    from mart.purchases_monthly as monthly
    left join registered on registered.day < (monthly.month + interval '1 month')::date
    group by monthly.month
)

select
    monthly.month,
    monthly.buyers,
    monthly.repeat_buyers,
    round(monthly.repeat_buyers::numeric / monthly.buyers, 4) as repeat_share,
    monthly.purchases,
    round(monthly.purchases::numeric / monthly.buyers, 4) as frequency,
    monthly.median_gap_days,
    monthly.net_sales::numeric(19, 2) as net_sales,
    round(monthly.net_sales / monthly.buyers, 2)::numeric(19, 2) as arppu,
    coalesce(joined.members, 0) as members,
    round(monthly.net_sales / nullif(joined.members, 0), 2)::numeric(19, 2) as arpu,
    round(monthly.purchase_amount / monthly.purchases, 2)::numeric(19, 2) as average_cheque,
    (monthly.month + interval '1 month')::date - 1 <= as_of.operations_day as is_whole_month
from mart.purchases_monthly as monthly
cross join mart.as_of
left join joined on joined.month = monthly.month;

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
comment on column mart.repeat_purchase.arppu is 'average revenue per paying user: net sales / buyers';
comment on column mart.repeat_purchase.members is 'members registered by the end of the month';
comment on column mart.repeat_purchase.arpu is 'average revenue per user: net sales / members; null without members';
comment on column mart.repeat_purchase.average_cheque is 'amount of purchases / purchases, without refunds';
comment on column mart.repeat_purchase.is_whole_month is 'the last day of the month is known';
