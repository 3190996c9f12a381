-- purpose: updates that were tried and wait to be tried again, and how many each holds back
-- parameters: undo_of (null for all), most
select
    updates.update_id,
    updates.client_id,
    updates.status,
    updates.attempts,
    updates.last_error,
    (
        select count(*)
        from outbox.profile_updates as later
        where
            later.client_id = updates.client_id
            and later.update_id > updates.update_id
            and later.status = 'pending'
    ) as behind
from outbox.profile_updates as updates
where
    updates.status in ('pending', 'sending')
    and updates.attempts > 0
    and (%(undo_of)s::bigint is null or updates.undo_of = %(undo_of)s)
order by updates.update_id
limit %(most)s;
