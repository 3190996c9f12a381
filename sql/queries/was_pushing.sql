-- purpose: whether a push is at work, or has ended just now
-- parameters: lock_class, lock_id, quiet (seconds)
select
    exists (
        select from pg_locks
        where
            locktype = 'advisory'
            and classid = %(lock_class)s
            and objid = %(lock_id)s
            and objsubid = 2
            and granted
            and database = (select oid from pg_database where datname = current_database())
    )
    or exists (
        select from outbox.pushes where finished_at > now() - make_interval(secs => %(quiet)s)
    ) as was_pushing;
