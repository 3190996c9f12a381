-- sync.retention: how long facts are stored, and what is older

-- name: kept_from
-- purpose: the first business day that is stored; no row without a limit
select kept_from from sync.retention;

-- name: has_published
-- purpose: whether any sync was published
select exists (select from sync.runs where status = 'published') as has_published;

-- name: keep_from
-- purpose: move the first stored day forward; never back
-- parameters: kept_from
insert into sync.retention as retention (kept_from)
values (%(kept_from)s)
on conflict (retention_id) do update set
    kept_from = excluded.kept_from,
    applied_at = now()
where retention.kept_from < excluded.kept_from;

-- name: expire_rows
-- purpose: count each client's live rows that expire, so that its total still adds up
-- parameters: feed, kept_from (the new one); {table} is the feed's main table, {day} its business day
update sync.client_state as state
set expired = state.expired + expiring.rows
from (
    select
        client_id,
        count(*) as rows
    from {table}
    where
        deleted_at is null
        and {day} < %(kept_from)s
        and {day} >= coalesce((select kept_from from sync.retention), '-infinity')
    group by client_id
) as expiring
where state.feed = %(feed)s and state.client_id = expiring.client_id;

-- name: carry_favourite_stats
-- purpose: copy each client's newest numbers of the expiring days to the first stored day
-- parameters: kept_from
-- A row is written only on days of change, so the newest one is still valid.
insert into core.favourite_stats (
    snapshot_date, client_id, max_link_goods, now_link_goods, remain_link_goods,
    remain_count_purchases, remain_gain, remain_every_gain, count_offer, count_confirm,
    count_purchases, sum_gain, avg_favourite, avg_all, extra, sync_run_id, first_seen_at, synced_at
)
select distinct on (client_id)
    %(kept_from)s, client_id, max_link_goods, now_link_goods, remain_link_goods,
    remain_count_purchases, remain_gain, remain_every_gain, count_offer, count_confirm,
    count_purchases, sum_gain, avg_favourite, avg_all, extra, sync_run_id, first_seen_at, synced_at
from core.favourite_stats
where snapshot_date < %(kept_from)s and deleted_at is null
order by client_id asc, snapshot_date desc
on conflict (snapshot_date, client_id) do nothing;

-- name: old_months
-- purpose: the months of a table, with their size; also those that an interrupted removal has left
-- parameters: schema_name, parent
select
    months.schema_name,
    months.table_name as parent,
    months.month_table,
    pg_class.reltuples::bigint as rows,
    pg_total_relation_size(pg_class.oid) as bytes,
    months.is_attached,
    months.is_detaching
from sync.month_partitions as months
inner join pg_class on pg_class.oid = months.month_oid
where months.schema_name = %(schema_name)s and months.table_name = %(parent)s
order by months.month_table;

-- name: acts_as_owner_of
-- purpose: whether the user may detach partitions of a table concurrently, as only its owner may
-- parameters: schema_name, parent
select pg_has_role(relowner, 'usage') as acts_as_owner
from pg_class
where relnamespace = %(schema_name)s::regnamespace and relname = %(parent)s and relkind = 'p';

-- name: remove_month
-- purpose: detach and drop a month that is no longer held
-- parameters: schema_name, parent, month_table
select sync.remove_month(%(schema_name)s, %(parent)s, %(month_table)s);

-- name: blocks_of_month
-- purpose: the number of blocks of a month
-- parameters: month_table (with its schema)
select
    pg_relation_size(%(month_table)s::regclass)
    / current_setting('block_size')::bigint as blocks;

-- name: delete_goods_of_month
-- purpose: delete goods of some offers of an expired month
-- parameters: kept_from; first, after (tids: offers from the one to before the other);
--   {offers} is the month
-- In the order of the table, some blocks at a time: a limited number of rows would have to be searched
-- from the beginning again each time.
delete from core.favourite_goods as goods
using {offers} as offers
where
    offers.ctid >= %(first)s::tid
    and offers.ctid < %(after)s::tid
    and goods.client_id = offers.client_id
    and goods.favourite_id = offers.favourite_id
    and not exists (
        select from core.favourite_offers as held
        where
            held.client_id = goods.client_id
            and held.favourite_id = goods.favourite_id
            and held.offer_date >= %(kept_from)s
    );

-- name: count_old
-- purpose: how many rows one of the queries below lists, and their size
-- parameters: kept_from, before (and the query)
select
    count(*) as rows,
    coalesce(sum(listed.bytes), 0)::bigint as bytes
from ({listed}) as listed;

-- name: blocks_of_old
-- purpose: the first and the last block of the rows that one of the queries below lists; null if none
-- parameters: kept_from, before (and the query)
select
    (min(listed.place)::text::point)[0]::bigint as first_block,
    (max(listed.place)::text::point)[0]::bigint as last_block
from ({listed}) as listed;

-- name: delete_old
-- purpose: delete the rows that one of the queries below lists, in some blocks of their table
-- parameters: kept_from, before (and the query); first, after (tids: rows from the one to before the
--   other); {table} is the table of the query
delete from {table}
where ctid = any(array(
    select listed.place from ({listed}) as listed
    where listed.place >= %(first)s::tid and listed.place < %(after)s::tid
));

-- name: old_attempts
-- purpose: attempts for profile updates that are listed by old_updates
-- parameters: before
select
    attempts.ctid as place,
    pg_column_size(attempts.*) as bytes
from outbox.attempts
inner join outbox.finished_updates as finished on finished.update_id = attempts.update_id
where finished.finished_at < %(before)s;

-- name: old_updates
-- purpose: profile updates that were finished long ago, with their requested values
-- parameters: before
select
    updates.ctid as place,
    pg_column_size(updates.*) as bytes
from outbox.profile_updates as updates
inner join outbox.finished_updates as finished on finished.update_id = updates.update_id
where finished.finished_at < %(before)s;

-- name: old_pushes
-- purpose: pushes that ended long ago, and whose updates are deleted
-- parameters: before
select
    pushes.ctid as place,
    pg_column_size(pushes.*) as bytes
from outbox.pushes
where
    pushes.status <> 'running'
    and pushes.finished_at < %(before)s
    and not exists (
        select from outbox.profile_updates as updates
        where
            updates.push_id = pushes.push_id
            and (
                updates.status in ('pending', 'sending')
                or greatest(updates.requested_at, updates.claimed_at, updates.sent_at)
                >= %(before)s
            )
    )
    and not exists (
        select from outbox.profile_updates as undone
        where
            undone.undo_of = pushes.push_id
            and (
                undone.status in ('pending', 'sending')
                or greatest(undone.requested_at, undone.claimed_at, undone.sent_at) >= %(before)s
            )
    )
    and not exists (select from outbox.attempts where attempts.push_id = pushes.push_id)
    and not exists (select from outbox.pushes as undo where undo.undo_of = pushes.push_id);

-- name: old_quarantine
-- purpose: rows of the quarantine that were resolved long ago
-- parameters: before
select
    quarantine.ctid as place,
    pg_column_size(quarantine.*) as bytes
from sync.quarantine
where quarantine.resolved_at < %(before)s;

-- name: old_tasks
-- purpose: tasks of runs that are listed by old_runs
-- parameters: before, kept_from
select
    fetches.ctid as place,
    pg_column_size(fetches.*) as bytes
from sync.fetches
inner join sync.runs on runs.run_id = fetches.run_id
where
    runs.status <> 'reading'
    and runs.finished_at < %(before)s
    and runs.window_to < %(kept_from)s;

-- name: old_runs
-- purpose: runs that ended long ago, of expired days; never the newest of a feed
-- parameters: before, kept_from
select
    runs.ctid as place,
    pg_column_size(runs.*) as bytes
from sync.runs
where
    runs.status <> 'reading'
    and runs.finished_at < %(before)s
    and runs.window_to < %(kept_from)s
    and exists (
        select from sync.runs as newer
        where newer.feed = runs.feed and newer.status = 'published' and newer.run_id > runs.run_id
    );

-- name: old_commands
-- purpose: commands that ended long ago, without runs
-- parameters: before
select
    commands.ctid as place,
    pg_column_size(commands.*) as bytes
from sync.commands
where
    commands.status <> 'running'
    and commands.finished_at < %(before)s
    and not exists (
        select from sync.runs
        where runs.command_id = commands.command_id
    );

-- name: old_window_days
-- purpose: expired days that were published; never the newest of a feed
-- parameters: kept_from
select
    window_days.ctid as place,
    pg_column_size(window_days.*) as bytes
from sync.window_days
where
    window_days.day < %(kept_from)s
    and window_days.day < (
        select max(newest.day) from sync.window_days as newest
        where newest.feed = window_days.feed
    );

-- name: old_published_days
-- purpose: recorded figures of expired days
-- parameters: kept_from
select
    published_days.ctid as place,
    pg_column_size(published_days.*) as bytes
from mart.published_days
where published_days.day < %(kept_from)s;

-- name: old_published_months
-- purpose: recorded figures of expired months
-- parameters: kept_from
select
    published_months.ctid as place,
    pg_column_size(published_months.*) as bytes
from mart.published_months
where published_months.month < %(kept_from)s;

-- name: old_restated_answers
-- purpose: restatements of expired months
-- parameters: kept_from
select
    restated_answers.ctid as place,
    pg_column_size(restated_answers.*) as bytes
from mart.restated_answers
where restated_answers.month < %(kept_from)s;

-- name: delete_answers
-- purpose: let the next refresh record past months as if for the first time
-- The removal of rows is not a restatement by the source.
delete from refresh.answers;
