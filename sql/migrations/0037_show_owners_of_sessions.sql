-- purpose: session locks that count only if their holder may write, so that no other login blocks or fakes them

-- A session shows by an advisory lock that it works on a run, pushes, rewrites or has requests in flight: Postgres ends
-- it with the session. Every login can hold advisory locks, so one of them has any of 2^23 keys
-- (kind * 2^23 + a random number, id), of which whoever takes it tries another where one is held, and this
-- view shows the locks of those alone who may write to sync.runs. A key without a random number is one of the
-- version before: 0x6C636D of a run, 0x6C6370 of a push, 0x6C6373 of requests.
create view sync.session_locks as
select
    case
        when held.classid = 7103341 or held.classid::bigint >> 23 = 216 then 'run'
        when held.classid = 7103344 or held.classid::bigint >> 23 = 217 then 'push'
        when held.classid = 7103347 or held.classid::bigint >> 23 = 218 then 'requests'
        else 'rewrite'
    end as kind,
    held.objid::bigint as lock_id,
    held.pid as session_pid
from pg_locks as held
inner join pg_stat_activity as activity on activity.pid = held.pid
where
    held.locktype = 'advisory'
    and held.objsubid = 2
    and held.granted
    and held.database = (select oid from pg_database where datname = current_database())
    and (
        held.classid in (7103341, 7103344, 7103347)
        or held.classid::bigint >> 23 between 216 and 219
    )
    and has_table_privilege(activity.usesysid, 'sync.runs'::regclass, 'insert');
comment on view sync.session_locks is 'what live sessions work on. A lock of a login that may not write to sync.runs does not count. Grain: session, run';
comment on column sync.session_locks.kind is 'run: it reads or publishes a run. push: it is the one that pushes. rewrite: it is the one that rewrites stored rows. requests: its row in sync.request_slots counts';
comment on column sync.session_locks.lock_id is 'run: the run. push, rewrite: always 1. requests: the server process of the session';
comment on column sync.session_locks.session_pid is 'server process of the session';

create table sync.session_lock (lock_id integer, primary key (lock_id));
comment on table sync.session_lock is 'locked by who is about to push or to rewrite stored rows, so that one does at a time. Never a row';
comment on column sync.session_lock.lock_id is 'never filled';

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select on sync.session_locks to lcm_loader;
        grant select, insert, update, delete on sync.session_lock to lcm_loader;
    end if;
end;
$$;
