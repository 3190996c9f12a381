-- purpose: how complete every table is, day by day, through the newest day that any of them tells of
select
    day,
    table_name,
    loaded_rows,
    clients,
    pending_clients,
    deferred_clients,
    unread_registration_days,
    is_complete,
    complete_share,
    source_total,
    loaded_total,
    quarantined_total,
    restated_rows,
    first_published_at,
    complete_through,
    roster_from
from mart.data_completeness
order by day, table_name;
