-- purpose: each store from %(first)s to %(last)s beside the days from %(before_first)s to %(before_last)s
select
    pos_id,
    max(store_name) as store_name,
    coalesce(sum(net_sales) filter (where day >= %(first)s), 0) as net_sales,
    coalesce(sum(net_sales) filter (where day <= %(before_last)s), 0) as net_sales_before,
    coalesce(sum(purchases) filter (where day >= %(first)s), 0) as purchases,
    coalesce(sum(net_sales + refund_amount) filter (where day >= %(first)s), 0) as purchase_amount,
    coalesce(sum(points_added) filter (where day >= %(first)s), 0) as points_added,
    coalesce(sum(points_redeemed) filter (where day >= %(first)s), 0) as points_redeemed
from mart.store_daily
where day between %(before_first)s and %(before_last)s or day between %(first)s and %(last)s
group by pos_id
having sum(purchases) + sum(refunds) > 0
order by net_sales desc, pos_id;
