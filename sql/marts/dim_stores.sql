-- question: which stores are there?
-- grain: point of sale
-- formula: every point of sale that a registration or an operation names, with its newest name, and
--   the partner of its newest sale that names one. Sales are those through the last day of operations.
create or replace view mart.dim_stores as
with sales as (
    select
        pos_id,
        min(day) as first_day,
        max(day) as last_day,
        (array_agg(partner_name order by day desc, purchases desc, partner_name) filter (
            where partner_name <> ''
        ))[1] as partner_name
    from mart.sales_daily
    -- A reading brings a part of the day after, which no other mart shows.
    where
        pos_id is not null
        and day <= coalesce((select operations_day from mart.as_of), 'infinity')
    group by pos_id
),

ids as (
    select pos_id from core.points_of_sale
    union
    select pos_id from sales
    union
    select pos_id from mart.members
    where pos_id is not null
)

select
    ids.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    sales.partner_name,
    sales.first_day as first_sale_date,
    sales.last_day as last_sale_date
from ids
left join core.points_of_sale on points_of_sale.pos_id = ids.pos_id
left join sales on sales.pos_id = ids.pos_id;

comment on view mart.dim_stores is 'stores. Grain: point of sale';
comment on column mart.dim_stores.pos_id is 'the point of sale, as in the marts';
comment on column mart.dim_stores.store_name is 'its newest name; null when none was sent';
comment on column mart.dim_stores.partner_name is 'partner of its newest sale that names one; null when none does';
comment on column mart.dim_stores.first_sale_date is 'first day with a cheque there';
comment on column mart.dim_stores.last_sale_date is 'last day with a cheque there';
