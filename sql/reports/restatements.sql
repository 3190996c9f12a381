-- purpose: what changed of the days through %(day)s since each was first published
select
    day,
    table_name,
    reason,
    rows,
    amount_change,
    points_change,
    first_restated_at,
    last_restated_at
from mart.restatements
where day <= %(day)s
order by day desc, table_name, reason;
