-- purpose: what reading the clients of a window that are due will cost, from their last readings
-- parameters: page_length, has_details; see schedule_clients
-- A client that is up to date costs one request. The audit reads long histories page by page, and
-- asks for the details of each row where the feed has some.
select
    count(*) filter (where is_due and is_known) as known,
    count(*) filter (where is_due and not is_known) as unknown,
    count(*) filter (where not is_due) as deferred,
    coalesce(sum(source_total) filter (where is_due), 0) as rows,
    count(*) filter (where is_due and is_known) + coalesce(
        sum(
            greatest(ceil(source_total::numeric / %(page_length)s) - 1, 0)
            + case when %(has_details)s then source_total else 0 end
        ) filter (where is_due and is_known and is_whole),
        0
    ) as requests
from scheduled;
