-- question: do members keep buying, by the month in which they joined?
-- grain: registration month x month n, 0 being the registration month itself
-- formula: retention = members of the cohort with a purchase in month n / members of the cohort;
--   net sales of all their cheques in month n; cumulative net sales per member sum up months 0 to n.
--   Cheques dated before the registration month count in month 0. Months whose operations are not
--   stored any more (LCM_RETENTION_MONTHS) are left out.
create materialized view mart.cohort_retention as
with cohorts as (
    select cohort_month, members
    from mart.cohort_sums
    where members > 0
),

grid as (
    select
        cohorts.cohort_month,
        cohorts.members,
        month.position::integer - 1 as month_number,
        cohorts.cohort_month >= coalesce(as_of.operations_kept_from, '-infinity')
            as is_known_from_start,
        (month.day + interval '1 month')::date - 1 <= as_of.operations_day as is_whole_month
    from cohorts
    cross join mart.as_of
    cross join
        generate_series(
            cohorts.cohort_month::timestamp, as_of.operations_day::timestamp, interval '1 month'
        ) with ordinality as month (day, position)
    where month.day >= coalesce(as_of.operations_kept_from, '-infinity')
)

select
    grid.cohort_month,
    grid.month_number,
    grid.members,
    coalesce(bought.buyers, 0) as buyers,
    round(coalesce(bought.buyers, 0)::numeric / grid.members, 4) as retention,
    coalesce(bought.net_sales, 0)::numeric(19, 2) as net_sales,
    -- Of an older cohort, the first months are not known.
    case
        when grid.is_known_from_start
            then round(
                sum(coalesce(bought.net_sales, 0)) over (
                    partition by grid.cohort_month order by grid.month_number
                ) / grid.members,
                2
            )
    end::numeric(19, 2) as cumulative_net_sales_per_member,
    grid.is_whole_month
from grid
left join mart.cohort_sums as bought
    on bought.cohort_month = grid.cohort_month and bought.month_number = grid.month_number;

create unique index on mart.cohort_retention (cohort_month, month_number);

comment on materialized view mart.cohort_retention is 'how members keep buying. Grain: registration month, months since';
comment on column mart.cohort_retention.cohort_month is 'first day of the month of registration';
comment on column mart.cohort_retention.month_number is 'months since then; 0 is that month itself';
comment on column mart.cohort_retention.members is 'clients who registered in it';
comment on column mart.cohort_retention.buyers is 'of them, clients with a purchase in month n';
comment on column mart.cohort_retention.retention is 'buyers / members';
comment on column mart.cohort_retention.net_sales is 'their net sales in month n, in money';
comment on column mart.cohort_retention.cumulative_net_sales_per_member is 'their net sales in months 0 to n / members; null where the first of these are not stored any more';
comment on column mart.cohort_retention.is_whole_month is 'the last day of month n is known';
