-- purpose: the goods that most clients chose in the month of %(day)s
select
    list_data_id,
    code,
    name,
    clients,
    still_active_share
from mart.favourite_goods_monthly
where month = date_trunc('month', %(day)s::timestamp)
order by clients desc, list_data_id
limit 5;
