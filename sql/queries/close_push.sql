-- purpose: end a push and count what became of its updates
-- parameters: push_id, status, error, requests
-- tag: push-closed
with counted as (
    select
        count(*) filter (where status = 'sent' and sent_values <> '{}') as sent,
        count(*) filter (where status = 'sent' and sent_values = '{}') as unchanged,
        count(*) filter (where status = 'partial') as partial,
        count(*) filter (where status = 'rejected') as rejected,
        count(*) filter (where status = 'failed') as failed
    from outbox.profile_updates
    where push_id = %(push_id)s
),

waiting as (
    select
        count(*) filter (where updates.status = 'sending') as unknown,
        count(*) filter (where updates.status = 'pending' and held.is_held_back) as held_back,
        count(*) filter (where updates.status = 'pending' and not held.is_held_back) as left_over
    from outbox.profile_updates as updates
    inner join outbox.pushes on pushes.push_id = %(push_id)s
    cross join lateral (
        select updates.attempts > 0 or exists (
            select from outbox.profile_updates as earlier
            where
                earlier.client_id = updates.client_id
                and earlier.update_id < updates.update_id
                and earlier.status in ('pending', 'sending')
                and earlier.attempts > 0
        ) as is_held_back
    ) as held
    where
        updates.status in ('pending', 'sending')
        and updates.update_id <= pushes.last_update_id
        and (pushes.undo_of is null or updates.undo_of = pushes.undo_of)
)

update outbox.pushes
set
    status = %(status)s,
    error = %(error)s,
    finished_at = now(),
    request_count = %(requests)s,
    sent_count = counted.sent,
    unchanged_count = counted.unchanged,
    partial_count = counted.partial,
    rejected_count = counted.rejected,
    failed_count = counted.failed,
    unknown_count = waiting.unknown,
    held_back_count = waiting.held_back,
    left_count = waiting.left_over
from counted, waiting
where pushes.push_id = %(push_id)s
returning
    pushes.push_id,
    pushes.status,
    pushes.undo_of,
    counted.sent,
    counted.unchanged,
    counted.partial,
    counted.rejected,
    counted.failed,
    waiting.unknown,
    waiting.held_back,
    waiting.left_over,
    pushes.request_count as requests,
    extract(epoch from pushes.finished_at - pushes.started_at)::float as seconds,
    pushes.error;
