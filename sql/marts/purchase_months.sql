-- question: in which months did a client buy, how much, and after which pauses?
-- grain: client x month with a cheque
-- formula: sums of mart.cheques through the last day of operations. Purchases are cheques that are no
--   refund; net sales are purchases less refunds; a gap is the days from a client's purchase before, in
--   whatever month, to one in this month. Marts by client and by month are made of it.
create view refresh.purchase_months as
with cheques as (
    select
        cheques.*,
        date_trunc('month', cheques.day::timestamp)::date as month,
        cheques.day - lag(cheques.day) over (
            partition by cheques.client_id, cheques.is_refund order by cheques.day
        ) as gap_days
    from refresh.scope
    inner join mart.cheques on cheques.client_id = scope.client_id
    where cheques.day <= (select operations_day from mart.as_of)
)

select
    month,
    client_id,
    min(day) filter (where not is_refund) as first_day,
    max(day) filter (where not is_refund) as last_day,
    max(day) filter (where not is_refund and redeemed > 0) as last_redemption_day,
    count(*) filter (where not is_refund) as purchases,
    count(*) filter (where is_refund) as refunds,
    coalesce(sum(amount) filter (where not is_refund), 0)::numeric(19, 2) as purchase_amount,
    sum(net_amount)::numeric(19, 2) as net_sales,
    max(gap_days) filter (where not is_refund) as longest_gap_days,
    array_agg(gap_days order by gap_days) filter (where not is_refund and gap_days is not null)
        as gaps_days
from cheques
group by client_id, month;

create table mart.purchase_months as table refresh.purchase_months with no data;
create index on mart.purchase_months (client_id);
create index on mart.purchase_months (month);

comment on table mart.purchase_months is 'what clients bought, month by month. Grain: client, month with a cheque';
comment on column mart.purchase_months.month is 'first day of the month';
comment on column mart.purchase_months.client_id is 'the client';
comment on column mart.purchase_months.first_day is 'day of the first purchase in it; null when there are refunds alone';
comment on column mart.purchase_months.last_day is 'day of the last purchase in it';
comment on column mart.purchase_months.last_redemption_day is 'day of the last purchase in it on which points were redeemed';
comment on column mart.purchase_months.purchases is 'cheques that are no refund';
comment on column mart.purchase_months.refunds is 'cheques that are refunds';
comment on column mart.purchase_months.purchase_amount is 'amount of purchases, in money';
comment on column mart.purchase_months.net_sales is 'purchases less refunds, in money';
comment on column mart.purchase_months.longest_gap_days is 'longest of gaps_days';
comment on column mart.purchase_months.gaps_days is 'days from the purchase before to each purchase, ascending; the first purchase ever has none, and null stands for an empty list';
