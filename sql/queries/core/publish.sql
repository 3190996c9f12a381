-- a table of core during a publish: the statements that merge the staged rows of a run into it
--
-- `merge.statement` fills in, for each statement: {core} and {history}, the table and its history; {incoming}, {changed},
-- {doubtful}, {gone} and {moved}, relations of the transaction that are made below; {columns}, {key}, {identity} (the
-- key without the {day}), and {..._values}, the columns outside the key, with the relation that has them; {is_...}, which
-- compare the keys of two relations, {is_same_row} but for the day, {is_elsewhere} but for the day and the client;
-- {assignments} of the values of a conflicting row.

-- name: view_incoming
-- purpose: the staged rows of the tasks in `publishing`; the view is dropped with that table
-- parameters: {first} and {last} of these tasks, so that the index of `index_staged` is used; {staged_columns}
create or replace temp view {incoming} as
select
    {staged_columns},
    staged.extra::jsonb as extra,
    publishing.read_at,
    publishing.reading
from {staging} as staged
inner join publishing on publishing.task_id = staged.task_id
where staged.task_id between {first} and {last};

-- name: count_staged
-- purpose: count the staged rows of each task of a range, and those of days before the first one kept
-- parameters: {first} and {last} task; {is_expired}: whether the day of a row is no longer kept
-- Rows of such days were read before that day moved on.
select
    task_id,
    count(*) as staged,
    count(*) filter (where {is_expired}) as expired
from {staging}
where task_id between {first} and {last}
group by task_id;

-- name: sum_staged_counts
-- purpose: the staged rows of each task, over all tables
-- parameters: counts (count_staged of each table)
-- tag: publish-begun
create temp table staged_counts on commit drop as
select
    counted.task_id,
    sum(counted.staged)::int as staged,
    sum(counted.expired)::int as expired
from (
    {counts}
) as counted
group by counted.task_id;

-- name: staged_months
-- purpose: the months of the staged rows
select distinct date_trunc('month', {day})::date as first_day
from {staging};

-- name: incoming_days
-- purpose: the first and the last day of the incoming rows
select
    min({day}) as first_day,
    max({day}) as last_day
from {incoming};

-- name: collect_changed
-- purpose: collect the incoming rows that are new, different, or were deleted
-- parameters: {is_within}: the stored row has one of the incoming days
-- As constants the days let the planner prune the partitions of other months.
create temp table {changed} on commit drop as
select
    {incoming_columns},
    stored.sync_run_id is null as is_new,
    stored.deleted_at is not null as was_deleted
from {incoming} as incoming
left join {core} as stored on {is_incoming} and {is_within}
where
    stored.sync_run_id is null
    or stored.deleted_at is not null
    or ({stored_values}) is distinct from ({incoming_values});

-- name: analyze_changed
-- purpose: analyze the changed rows; only the columns of joins
analyze {changed} ({key}, is_new, was_deleted);

-- name: view_all_as_changed
-- purpose: take all incoming rows for new ones, those of tasks that were never published
create temp view {changed} as
select
    {columns},
    true as is_new,
    false as was_deleted
from {incoming};

-- name: view_none_as_gone
-- purpose: take no row for gone, as for tasks that were never published
create temp view {gone} as
select {key} from {incoming}
where false;

-- name: insert_incoming
-- purpose: insert all incoming rows, none of which is stored yet
-- parameters: run_id
-- They are read in the order in which they were staged, which is client by client.
insert into {core} ({columns}, sync_run_id, first_seen_at, synced_at)
select
    {columns},
    %(run_id)s,
    now(),
    now()
from {incoming};

-- name: collect_doubtful
-- purpose: collect the clients that may have a row which moved here from another day
-- A full reading does not need this: it shows that the row of the old day is gone. A delta returns only some rows of a
-- client, and the new total. A moved row is new on its day, but was in the former total already; so was a row that
-- was in quarantine, and a vanished row lowers the total. So the number of new rows is never below the growth of the
-- total, unless new rows went into quarantine. If the two are equal, no row has moved.
create temp table {doubtful} on commit drop as
select publishing.client_id
from publishing
inner join {changed} as changed on changed.client_id = publishing.client_id
where
    publishing.reading <> 'full'
    and (changed.is_new or changed.was_deleted)
group by
    publishing.client_id,
    publishing.task_id,
    publishing.rows,
    publishing.known_total,
    publishing.quarantined
having
    publishing.quarantined > 0
    or count(*) is distinct from publishing.rows - publishing.known_total;

-- name: analyze_doubtful
-- purpose: analyze the doubtful clients
analyze {doubtful};

-- name: collect_gone
-- purpose: collect the keys of live rows that a covering reading did not return
-- parameters: {covered}: what the readings cover; {is_in_scope}: the stored row is in it; {is_kept}: its day is kept
-- Rows of days that are no longer kept are not returned by readings, and are still stored while their month cannot be
-- dropped. Negative ids are rows of erased persons, which the source never returns.
create temp table {gone} on commit drop as
select {stored_key}
from {core} as stored
inner join {covered} as covered on {is_in_scope}
where
    stored.deleted_at is null
    and stored.client_id > 0
    and {is_kept}
    and not exists (select from {incoming} as incoming where {is_incoming});

-- name: add_moved_days_to_gone
-- purpose: add the keys of live rows that a reading returned on another day
-- parameters: {is_among}: whether the client of a changed row may have such rows; {is_kept} as above
-- A lookup searches the partitions of all months, so only doubtful clients are looked up.
insert into {gone}
select {stored_key}
from {changed} as changed
inner join {core} as stored on {is_same_row}
where
    {is_among}
    and stored.{day} <> changed.{day}
    and stored.deleted_at is null
    and (changed.is_new or changed.was_deleted)
    and {is_kept}
except
select {key} from {gone};

-- name: analyze_gone
-- purpose: analyze the gone rows
analyze {gone};

-- name: add_moved_to_gone
-- purpose: add the rows that `collect_moved_rows` has collected to the rows to delete
insert into {gone}
select * from {moved};

-- name: count_covered_rows
-- purpose: the rows that the source had before, of the clients and days of a publish
-- Rows that are no longer kept cannot vanish.
select coalesce(sum(known_total - known_expired), 0) as rows
from publishing;

-- name: count_lost
-- purpose: count the gone rows that did not reappear on another day or with another client
-- Merging cards moves a history to another client; it is not lost.
select count(*) as lost
from {gone} as gone
where not exists (select from {changed} as changed where {is_elsewhere});

-- name: count_lost_of_days
-- purpose: count the gone rows of each day that a publish covers, as count_lost does, and the rows it had
select
    publishing.day,
    count(*) as lost,
    publishing.known_total - publishing.known_expired as covered
from {gone} as gone
inner join publishing on publishing.day = gone.{day}
where not exists (select from {changed} as changed where {is_elsewhere})
group by publishing.day, publishing.known_total, publishing.known_expired;

-- name: store_history
-- purpose: copy the rows that are about to be updated or deleted into history
insert into {history} (
    {columns}, sync_run_id, first_seen_at, synced_at, deleted_at, valid_from, valid_to
)
select
    {stored_columns},
    stored.sync_run_id,
    stored.first_seen_at,
    stored.synced_at,
    stored.deleted_at,
    stored.synced_at as valid_from,
    now() as valid_to
from {core} as stored
inner join (
    select {key} from {changed}
    where not is_new
    union
    select {key} from {gone}
) as replaced on {is_replaced};

-- name: write_changed
-- purpose: insert or update the changed rows
-- parameters: run_id
-- Sorted by client: in the order of the join, each row would go to another index page.
insert into {core} ({columns}, sync_run_id, first_seen_at, synced_at)
select
    {columns},
    %(run_id)s,
    now(),
    now()
from {changed}
order by {identity}
on conflict ({key}) do update set
    {assignments},
    deleted_at = null,
    sync_run_id = excluded.sync_run_id,
    synced_at = excluded.synced_at;

-- name: mark_gone
-- purpose: mark the gone rows as deleted
-- parameters: run_id
update {core} as stored
set
    deleted_at = now(),
    synced_at = now(),
    sync_run_id = %(run_id)s
from {gone} as gone
where {is_gone};

-- name: store_names
-- purpose: store the newest names of a dimension from incoming rows
-- parameters: run_id; {dimension} with its {columns}, {key} and {assignments}; of the {incoming} rows the
--   {incoming_columns}, {incoming_key}, {label} and {moment}
insert into {dimension} as stored (
    {columns}, named_at, sync_run_id, first_seen_at, synced_at
)
select distinct on ({incoming_key})
    {incoming_columns},
    {moment},
    %(run_id)s,
    now(),
    now()
from {incoming}
where {incoming_key} is not null and {label} <> ''
order by {incoming_key} asc, {moment} desc, {label} desc
on conflict ({key}) do update set
    {assignments},
    named_at = excluded.named_at,
    sync_run_id = excluded.sync_run_id,
    synced_at = excluded.synced_at
where (excluded.named_at, excluded.name) > (stored.named_at, stored.name);
