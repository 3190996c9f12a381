-- the tables of facts: rows to show, what the checks count, what `lcm verify` compares, which need new statistics

-- name: sample_rows
-- purpose: the first rows of a table by its key, whose index makes it cheap
-- parameters: most; {table} of core, {columns}, {key}
select {columns} from core.{table}
order by {key}
limit %(most)s;

-- name: sample_rows_of_days
-- purpose: a few rows of a table on some days, newest first
-- parameters: first, last, most; {table} of core, {columns}, {day} its business day
select {columns} from core.{table}
where {day} between %(first)s and %(last)s
order by {day} desc
limit %(most)s;

-- name: count_duplicate_keys
-- purpose: how many keys are live more than once, such as on two business days
-- parameters: {table} of core, {key} its key without the business day
select count(*) as keys
from (
    select from core.{table}
    where deleted_at is null
    group by {key}
    having count(*) > 1
) as duplicates;

-- name: count_shared_keys
-- purpose: how many keys are live under two clients
-- parameters: {table} of core, {key} its key without the client
select count(*) as keys
from (
    select from core.{table}
    where deleted_at is null
    group by {key}
    having min(client_id) <> max(client_id)
) as shared;

-- name: count_orphans
-- purpose: how many live rows belong to no client of the roster
-- parameters: {table} of core
select count(*) as orphans
from core.{table} as facts
where
    facts.deleted_at is null
    and not exists (select from core.clients where clients.client_id = facts.client_id);

-- name: live_rows
-- purpose: the live rows of some clients, of days that are kept
-- parameters: clients; {table} of core, {columns} of it, {is_kept} whether the day of `stored` is kept
select {columns}
from core.{table} as stored
where stored.client_id = any(%(clients)s) and stored.deleted_at is null and {is_kept};

-- name: newest_live_rows
-- purpose: as live_rows, the newest of each client alone: a table of snapshots has one for each day of a change
-- parameters: clients; {table}, {columns} and {is_kept} as in live_rows
select distinct on (client_id) {columns}
from core.{table} as stored
where stored.client_id = any(%(clients)s) and stored.deleted_at is null and {is_kept}
order by client_id, snapshot_date desc;

-- name: outgrown_tables
-- purpose: tables of core, or their months, that have more than doubled since they were last analyzed
-- parameters: table_names (of core)
-- Autovacuum comes within a minute or so, and the marts are computed before that: without statistics
-- Postgres takes a month of 30,000 rows for one of few, and reads it once per client.
with facts as (
    select format('core.%%I', listed.name)::regclass as oid
    from unnest(%(table_names)s::text[]) as listed (name)
)

select format('core.%%I', pg_class.relname) as table_name
from pg_class
where
    pg_class.relkind = 'r'
    and (
        pg_class.oid in (select facts.oid from facts)
        or exists (
            select from pg_inherits
            inner join facts on facts.oid = pg_inherits.inhparent
            where pg_inherits.inhrelid = pg_class.oid
        )
    )
    and pg_relation_size(pg_class.oid)
    > (2 * pg_class.relpages::bigint + 8) * current_setting('block_size')::bigint
order by table_name;
