-- purpose: each store on %(day)s beside the same weekday a week ago, if it sold in the last 28 days
-- A store that was silent on the day is here too, with zeros: it is the one to ask about.
select
    pos_id,
    max(store_name) as store_name,
    coalesce(sum(net_sales) filter (where day = %(day)s), 0) as net_sales,
    coalesce(sum(net_sales) filter (where day = %(day)s::date - 7), 0) as net_sales_week_before,
    coalesce(sum(purchases) filter (where day = %(day)s), 0) as purchases,
    coalesce(sum(net_sales + refund_amount) filter (where day = %(day)s), 0) as purchase_amount,
    coalesce(sum(points_added) filter (where day = %(day)s), 0) as points_added,
    coalesce(sum(points_redeemed) filter (where day = %(day)s), 0) as points_redeemed
from mart.store_daily
where day between %(day)s::date - 27 and %(day)s
group by pos_id
having sum(purchases) + sum(refunds) > 0
order by net_sales desc, pos_id;
