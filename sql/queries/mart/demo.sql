-- what `lcm demo` shows

-- name: demo_answer
-- purpose: sales and points granted by each store, on the newest days of the demo
-- A cheque counts once, however many bonus rows name it; refunds are subtracted, whatever their sign.
with cheques as (
    select distinct on (client_id, cheque_id)
        client_id,
        cheque_id,
        pos_id,
        amount,
        is_refund
    from core.operations
    where cheque_id is not null and deleted_at is null
    order by client_id, cheque_id, component_type
),

sales as (
    select
        pos_id,
        count(*) filter (where is_refund is not true) as purchases,
        count(distinct client_id) filter (where is_refund is not true) as buyers,
        coalesce(sum(case when is_refund then -abs(amount) else amount end), 0) as net_sales
    from cheques
    group by pos_id
),

points as (
    select
        pos_id,
        coalesce(sum(added), 0) as points_added,
        coalesce(sum(redeemed), 0) as points_redeemed
    from core.operations
    where deleted_at is null
    group by pos_id
)

select
    coalesce(points_of_sale.name, sales.pos_id::text, '(no store)') as store,
    sales.purchases,
    sales.buyers,
    sales.net_sales,
    points.points_added,
    points.points_redeemed
from sales
left join points on points.pos_id is not distinct from sales.pos_id
left join core.points_of_sale on points_of_sale.pos_id = sales.pos_id
order by sales.net_sales desc
limit 10;
