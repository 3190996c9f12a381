-- purpose: one definition of which runs do the work of a command, also if another command began them

create view sync.command_runs as
select
    commands.command_id,
    runs.run_id,
    runs.feed,
    runs.status,
    runs.started_at,
    runs.finished_at
from sync.commands
inner join sync.runs
    on
        runs.command_id = commands.command_id
        or (
            -- Two commands with the same days share a run. It has the number of one of them.
            runs.command_id is not null
            and runs.feed = any(commands.feeds)
            and runs.window_from = commands.window_from
            and runs.window_to = commands.window_to
            and (runs.status = 'reading' or runs.finished_at >= commands.started_at)
        );
comment on view sync.command_runs is 'the runs of each command: those that it began or joined, and those of other commands for the same days that ended while it was unfinished. Grain: command, run';
comment on column sync.command_runs.command_id is 'the command';
comment on column sync.command_runs.run_id is 'the run, see sync.runs';
comment on column sync.command_runs.feed is 'the feed of the run';
comment on column sync.command_runs.status is 'the status of the run';
comment on column sync.command_runs.started_at is 'when the run began';
comment on column sync.command_runs.finished_at is 'when it ended; null while it is reading';

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select on sync.command_runs to lcm_loader;
    end if;
end;
$$;
