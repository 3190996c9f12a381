-- purpose: whether a sync reads, or has ended just now
-- parameters: lock_class (of runs), quiet (seconds)
select
    exists (
        select from pg_locks
        where
            locktype = 'advisory'
            and classid = %(lock_class)s
            and objsubid = 2
            and granted
            and database = (select oid from pg_database where datname = current_database())
    )
    or exists (
        select from (select finished_at from sync.runs order by run_id desc limit 20) as recent
        where recent.finished_at > now() - make_interval(secs => %(quiet)s)
    ) as is_syncing;
