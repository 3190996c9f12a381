-- purpose: the next updates to send, oldest first, and from when on one of unknown outcome may go again
-- parameters: after, last_update_id, undo_of (null for all), most
-- A request whose answer was lost left before its attempt or its push ended, whatever is known.
select
    updates.update_id,
    updates.client_id,
    updates.status = 'sending' as is_unsettled,
    case when updates.status = 'sending'
        then extract(epoch from now() - coalesce(
            pushes.finished_at,
            (
                select max(tried.ended_at)
                from outbox.attempts as tried
                where tried.update_id = updates.update_id
            ),
            updates.claimed_at
        ))::float
    end as seconds_since
from outbox.profile_updates as updates
left join outbox.pushes on pushes.push_id = updates.push_id
where
    updates.status in ('pending', 'sending')
    and updates.update_id > %(after)s
    and updates.update_id <= %(last_update_id)s
    and (%(undo_of)s::bigint is null or updates.undo_of = %(undo_of)s)
order by updates.update_id
limit %(most)s;
