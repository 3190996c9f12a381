-- purpose: how points outstanding became what they are, in the month of %(day)s and the one before
select
    month,
    opening,
    added,
    redeemed,
    expired,
    clawed_back,
    corrections,
    residual,
    closing,
    is_whole_month
from mart.points_bridge_monthly
where
    month between date_trunc('month', %(day)s::timestamp) - interval '1 month'
    and date_trunc('month', %(day)s::timestamp)
order by month;
