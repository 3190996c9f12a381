-- question: what did the members who joined in a month buy, month by month?
-- grain: registration month x month n, 0 being the registration month itself
-- formula: members (at month 0 alone), members with a purchase in month n, net sales of all their
--   cheques in it. Cheques dated before the registration month count in month 0.
-- incremental: sums by cohort_month, month_number
create materialized view mart.cohort_sums as
with joined as (
    select
        members.client_id,
        date_trunc('month', members.registration_date::timestamp)::date as cohort_month
    from refresh.scope
    inner join mart.known_members as members on members.client_id = scope.client_id
),

bought as (
    select
        joined.client_id,
        joined.cohort_month,
        greatest(
            0,
            (
                (extract(year from bought.month) - extract(year from joined.cohort_month)) * 12
                + extract(month from bought.month) - extract(month from joined.cohort_month)
            )::integer
        ) as month_number,
        max((bought.purchases > 0)::integer) as buyers,
        sum(bought.net_sales) as net_sales
    from joined
    inner join mart.purchase_months as bought on bought.client_id = joined.client_id
    group by 1, 2, 3
),

pieces as (
    select
        cohort_month,
        0 as month_number,
        1 as members,
        0 as buyers,
        0 as net_sales
    from joined
    union all
    select
        cohort_month,
        month_number,
        0 as members,
        buyers,
        net_sales
    from bought
)

select
    cohort_month,
    month_number,
    sum(members)::bigint as members,
    sum(buyers)::bigint as buyers,
    sum(net_sales)::numeric(19, 2) as net_sales
from pieces
group by cohort_month, month_number;

create unique index on mart.cohort_sums (cohort_month, month_number);

comment on materialized view mart.cohort_sums is 'members and their purchases by cohort; what is 0 is left out. Grain: registration month, months since';
comment on column mart.cohort_sums.cohort_month is 'first day of the month of registration';
comment on column mart.cohort_sums.month_number is 'months since then; 0 is that month itself';
comment on column mart.cohort_sums.members is 'clients who registered in it; at month 0 alone';
comment on column mart.cohort_sums.buyers is 'of them, clients with a purchase in month n';
comment on column mart.cohort_sums.net_sales is 'their net sales in month n, in money';
