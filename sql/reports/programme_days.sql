-- purpose: the programme on %(day)s and the 90 days before it, stores together
with refunded as (
    select
        day,
        sum(purchase_amount) as purchase_amount,
        sum(refund_amount) as refund_amount
    from mart.refunds
    where day between %(day)s::date - 90 and %(day)s
    group by day
)

select
    program_daily.day,
    program_daily.new_members,
    program_daily.members,
    program_daily.points_added,
    program_daily.points_redeemed,
    program_daily.points_activated,
    program_daily.points_expired,
    program_daily.active_balance,
    program_daily.pending_balance,
    program_daily.active_balance + program_daily.pending_balance as outstanding_balance,
    program_daily.balance_observed_date,
    program_daily.purchases,
    program_daily.net_sales,
    program_daily.buyers,
    coalesce(refunded.purchase_amount, told.nothing) as purchase_amount,
    coalesce(refunded.refund_amount, told.nothing) as refund_amount
from mart.program_daily
cross join lateral (
    select case when program_daily.purchases is not null then 0 end as nothing
) as told
left join refunded on refunded.day = program_daily.day
where program_daily.day between %(day)s::date - 90 and %(day)s
order by program_daily.day;
