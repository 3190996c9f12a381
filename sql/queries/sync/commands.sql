-- sync.commands: requested syncs, each of some feeds for a window of days

-- name: abandon_outdated_commands
-- purpose: abandon unfinished commands whose days a later command of the same feeds has covered
update sync.commands
set status = 'abandoned', finished_at = now()
where
    status = 'running'
    and exists (
        select from sync.commands as later
        where
            later.feeds @> commands.feeds
            and later.status = 'finished'
            and later.started_at > commands.started_at
            and later.window_to >= commands.window_to
    );

-- name: begin_command
-- purpose: begin a command, unless one of the same feeds and window is unfinished
-- parameters: feeds, first, last
insert into sync.commands (feeds, window_from, window_to)
values (%(feeds)s, %(first)s, %(last)s)
on conflict do nothing;

-- name: find_command
-- purpose: the unfinished command of these feeds and this window
-- parameters: feeds, first, last
select command_id
from sync.commands
where
    status = 'running'
    and feeds = %(feeds)s::text[]
    and window_from = %(first)s
    and window_to = %(last)s;

-- name: finish_command
-- purpose: finish a command if all its feeds are published
-- parameters: command_id
update sync.commands
set status = 'finished', finished_at = now()
where
    command_id = %(command_id)s
    and status = 'running'
    and not exists (
        select from unnest(commands.feeds) as wanted (feed)
        where not exists (
            select from sync.command_runs as runs
            where
                runs.command_id = commands.command_id
                and runs.feed = wanted.feed
                and runs.status = 'published'
        )
    );

-- name: abandon_commands
-- purpose: abandon all unfinished commands, so that feeds they have published are read again
update sync.commands
set status = 'abandoned', finished_at = now()
where status = 'running';
