-- purpose: why updates of a push were rejected, partial or failed, the most frequent first
-- parameters: push_id, most
select
    status,
    coalesce(last_error, '') as reason,
    count(*) as updates,
    min(update_id) as first_update_id
from outbox.profile_updates
where push_id = %(push_id)s and status in ('rejected', 'partial', 'failed')
group by status, last_error
order by updates desc, first_update_id
limit %(most)s;
