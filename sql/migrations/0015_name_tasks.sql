-- purpose: keys that say what they are: a feed, a client or a registration day, a task; and the commands that a resumed sync goes on with

alter table sync.client_state rename column endpoint to feed;
alter table sync.paging_habits rename column endpoint to feed;
alter table sync.window_days rename column endpoint to feed;
alter table sync.unknown_fields rename column endpoint to feed;
alter table sync.quarantine rename column endpoint to feed;
comment on table sync.paging_habits is 'how the endpoint of each feed was seen to page';

-- A row of a registration day belongs to the day, whoever it is about.
alter table sync.quarantine
    alter column client_id drop not null,
    add column day date;
update sync.quarantine
set day = context::date, context = ''
where feed = 'registrations';
update sync.quarantine set client_id = null where client_id = 0;
drop index sync.quarantine_endpoint_client_id_row_digest_context_idx;
create unique index quarantine_rows on sync.quarantine (
    feed, row_digest, coalesce(client_id, 0), coalesce(day, date '-infinity'), context
);
create index quarantine_clients on sync.quarantine (feed, client_id) where resolved_at is null;
comment on column sync.quarantine.client_id is 'the client; null where the row names none';
comment on column sync.quarantine.day is 'the registration day that was polled; null for a feed that is read by client';
comment on column sync.quarantine.context is 'what the row belongs to beside its client or day: the offer, the header; empty for none';

create table sync.commands (
    command_id bigint not null generated always as identity,
    feeds text [] not null,
    window_from date not null,
    window_to date not null,
    status text not null default 'running',
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    primary key (command_id),
    check (status in ('running', 'finished', 'abandoned'))
);
create unique index commands_running on sync.commands (feeds, window_from, window_to)
where status = 'running';
comment on table sync.commands is 'what was called for: some feeds for a window of days. One that was broken off is resumed as a whole';
comment on column sync.commands.command_id is 'the command';
comment on column sync.commands.feeds is 'the feeds that it syncs, in order';
comment on column sync.commands.window_from is 'first business day';
comment on column sync.commands.window_to is 'last business day';
comment on column sync.commands.status is 'running, finished (each of its feeds is published) or abandoned (a later sync covers its days)';
comment on column sync.commands.started_at is 'when it began';
comment on column sync.commands.finished_at is 'when it ended';

-- Who finds the run of its feed and window unfinished joins it, so there is one at a time.
update sync.runs
set
    status = 'abandoned',
    finished_at = now(),
    error = 'another run of the same days went on'
where
    status = 'reading'
    and exists (
        select from sync.runs as newer
        where
            newer.feed = runs.feed
            and newer.window_from = runs.window_from
            and newer.window_to = runs.window_to
            and newer.status = 'reading'
            and newer.run_id > runs.run_id
    );
create unique index runs_reading on sync.runs (feed, window_from, window_to)
where status = 'reading';
alter table sync.runs add column command_id bigint references sync.commands;
create index runs_of_commands on sync.runs (command_id);
comment on column sync.runs.command_id is 'the command that it belongs to; null where a feed was synced by itself';

alter table sync.fetches
    drop constraint fetches_pkey,
    add column task_id bigint not null generated always as identity,
    add column day date,
    add column claimed_by integer,
    alter column client_id drop not null;
update sync.fetches set day = window_from, client_id = null where client_id = 0;
alter table sync.fetches
    drop column window_from,
    drop column window_to,
    drop column endpoint,
    drop column is_priority,
    add primary key (run_id, task_id),
    add check (num_nonnulls(client_id, day) = 1);
create unique index fetches_clients on sync.fetches (run_id, client_id) where client_id is not null;
create unique index fetches_days on sync.fetches (run_id, day) where day is not null;
comment on table sync.fetches is 'the ledger: one row per task of a run, which is a client or a registration day to read';
comment on column sync.fetches.task_id is 'the task; tasks are read in this order';
comment on column sync.fetches.client_id is 'the client; null for a registration day';
comment on column sync.fetches.day is 'the registration day; null for a client';
comment on column sync.fetches.claimed_by is 'server process of the session that reads the task; the claim counts as long as that session holds its lock on the run';

-- Two programmes in one warehouse cannot be told apart again.
create table sync.source (
    source_id smallint not null default 1 check (source_id = 1),
    url text not null,
    operator bigint,
    since timestamptz not null default now(),
    primary key (source_id)
);
comment on table sync.source is 'the programme that the warehouse holds: another one is refused until lcm adopt. One row, written by the first sync';
comment on column sync.source.source_id is 'always 1';
comment on column sync.source.url is 'address of its API, without a password';
comment on column sync.source.operator is 'its operator id; null when none is sent';
comment on column sync.source.since is 'since when the warehouse holds it';

-- Which moments are taken by requests, over all processes that share LCM_MAX_RPS.
create unlogged table sync.request_pace (
    pace_id smallint not null default 1 check (pace_id = 1),
    next_at timestamptz not null,
    primary key (pace_id)
);
comment on table sync.request_pace is 'from when on requests may leave: each process with LCM_MAX_RPS reserves moments there before it sends. One row';
comment on column sync.request_pace.pace_id is 'always 1';
comment on column sync.request_pace.next_at is 'the next moment that nobody has reserved';

drop table sync.reconciliations;

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select, insert, update, delete on sync.commands, sync.request_pace, sync.source
        to lcm_loader;
    end if;
end;
$$;
