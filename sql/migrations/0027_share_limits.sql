-- purpose: limits on requests that hold over all processes: the daily sync first, and slots in flight

alter table sync.request_pace
    add column first_at timestamptz,
    add column daily_until timestamptz not null default '-infinity',
    add column backfill_until timestamptz not null default '-infinity';
comment on column sync.request_pace.first_at is 'the first moment of the last reservation; null when it was refused, as others go first';
comment on column sync.request_pace.daily_until is 'until then a daily sync has requests that wait: others reserve nothing';
comment on column sync.request_pace.backfill_until is 'until then a backfill has requests that wait: a push reserves nothing';

-- Which of the slots of LCM_MAX_IN_FLIGHT each session holds.
create unlogged table sync.request_slots (
    session_pid integer not null,
    priority smallint not null check (priority between 0 and 2),
    wanted integer not null check (wanted >= 0),
    held integer not null check (held >= 0),
    primary key (session_pid)
);
comment on table sync.request_slots is 'how many requests each process may have in flight, with LCM_MAX_IN_FLIGHT. A row counts as long as its session holds its lock. Grain: session';
comment on column sync.request_slots.session_pid is 'server process of the session';
comment on column sync.request_slots.priority is '0 the daily sync, 1 a backfill or another reading, 2 a push';
comment on column sync.request_slots.wanted is 'requests of the process that are in flight or wait';
comment on column sync.request_slots.held is 'slots that it holds: no more requests are in flight';

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select, insert, update, delete on sync.request_slots to lcm_loader;
    end if;
end;
$$;
