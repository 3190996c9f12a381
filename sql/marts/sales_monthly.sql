-- question: how many clients bought in each store in a month, and redeemed points there?
-- grain: month x store (null where the rows name none)
-- formula: clients of mart.cheques through the last day of operations, each once a month and store:
--   buyers made a purchase, redeemers redeemed points on one; points redeemed on all cheques.
create view refresh.sales_monthly as
select
    months.month,
    cheques.pos_id,
    sum(cheques.redeemed)::numeric(19, 2) as points_redeemed,
    count(distinct cheques.client_id) filter (where not cheques.is_refund) as buyers,
    count(distinct cheques.client_id) filter (
        where not cheques.is_refund and cheques.redeemed > 0
    ) as redeemers
from refresh.months
inner join mart.cheques
    on
        cheques.day >= months.month
        and cheques.day < (months.month + interval '1 month')::date
where cheques.day <= (select operations_day from mart.as_of)
group by months.month, cheques.pos_id;

create table mart.sales_monthly as table refresh.sales_monthly with no data;
create index on mart.sales_monthly (month);

comment on table mart.sales_monthly is 'clients who bought and who redeemed. Grain: month, store';
comment on column mart.sales_monthly.month is 'first day of the month';
comment on column mart.sales_monthly.pos_id is 'point of sale; null when unknown';
comment on column mart.sales_monthly.points_redeemed is 'points redeemed on cheques';
comment on column mart.sales_monthly.buyers is 'clients with a purchase';
comment on column mart.sales_monthly.redeemers is 'of them, clients who redeemed points';
