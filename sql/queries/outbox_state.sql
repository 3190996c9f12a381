-- purpose: what waits in the outbox, whether a push is at work, and how the last one ended
-- parameters: lock_class, lock_id
with waiting as (
    select
        count(*) as waiting,
        count(*) filter (where status = 'sending') as sending,
        max(update_id) as newest_id
    from outbox.profile_updates
    where status in ('pending', 'sending')
),

last_push as (
    select
        push_id,
        status,
        last_update_id,
        extract(epoch from now() - coalesce(finished_at, started_at))::float as seconds_since
    from outbox.pushes
    order by push_id desc
    limit 1
)

select
    waiting.waiting,
    waiting.sending,
    coalesce(waiting.newest_id, 0) as newest_id,
    exists (
        select from pg_locks
        where
            locktype = 'advisory'
            and classid = %(lock_class)s
            and objid = %(lock_id)s
            and objsubid = 2
            and granted
            and database = (select oid from pg_database where datname = current_database())
    ) as is_pushing,
    last_push.push_id as last_push_id,
    last_push.status as last_status,
    coalesce(last_push.last_update_id, 0) as last_update_id,
    last_push.seconds_since
from waiting
left join last_push on true;
