-- purpose: which parameters the numbers rest on, and which of them nobody confirmed
select
    parameter,
    current_value,
    is_default
from mart.assumptions
order by parameter;
