-- purpose: clients and net sales by RFM segment, as of the last day of operations
select
    segment,
    segment_ru,
    count(*) as clients,
    sum(monetary) as net_sales,
    sum(frequency) as purchases
from mart.rfm
group by segment, segment_ru
order by net_sales desc, segment;
