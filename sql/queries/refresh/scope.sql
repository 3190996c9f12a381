-- refresh.*: what an incremental refresh of the marts computes again

-- name: note_changed_clients
-- purpose: record the clients whose operations a publish changed, for marts stored by client
-- A vanished row counts differently once another client has it, or has it no longer. So the client
-- that it vanished from is recorded too.
with moved as (
    select
        component_type,
        operation_id,
        client_id
    from changed_operations
    where is_new or was_deleted
    union all
    select
        component_type,
        operation_id,
        client_id
    from gone_operations
)

insert into refresh.changed_clients (client_id)
select client_id from changed_operations
union
select client_id from gone_operations
union
select vanished.client_id
from core.operations as vanished
inner join moved
    on
        moved.component_type = vanished.component_type
        and moved.operation_id = vanished.operation_id
where vanished.deleted_at is not null and moved.client_id <> vanished.client_id;

-- name: days_passed
-- purpose: the days that passed since the tables of mart were computed, and other changes
-- is_everyone: the parameters have changed, so all clients have to be computed again.
select
    (horizons.parameters is distinct from present.parameters) as is_everyone,
    (
        (horizons.through_day, horizons.newest_day)
        is distinct from (present.through_day, present.newest_day)
    ) as has_moved,
    least(horizons.through_day, present.through_day) as after_day,
    greatest(horizons.newest_day, present.newest_day) as last_day,
    (
        date_trunc('month', horizons.through_day + interval '1 day')
        is distinct from date_trunc('month', present.through_day + interval '1 day')
    ) as has_month_ended,
    array(
        select names.key
        from jsonb_each_text(present.names) as names
        where names.value is distinct from horizons.names ->> names.key
    ) as renamed
from refresh.present
left join refresh.horizons on true;

-- name: scope_changed_clients
-- purpose: add the clients whose operations publishes changed to the scope of a refresh
with noted as (
    delete from refresh.changed_clients returning client_id
)

insert into refresh.scope (client_id)
select distinct client_id from noted;

-- name: scope_everyone
-- purpose: add every client to the scope of a refresh
insert into refresh.scope (client_id)
select client_id from core.operations
union
select client_id from core.registrations;

-- name: record_shared_cheques
-- purpose: record the cheques that rows of several clients name, for all clients
-- A bonus for a purchase of another client names that client's cheque, but does not share it.
with cheques as (
    select operations.cheque_id
    from core.operations
    cross join mart.parameters
    where
        operations.cheque_id <> 0
        and operations.deleted_at is null
        and operations.bonus_source is distinct from parameters.friend_bonus_source
    group by operations.cheque_id
    having min(operations.client_id) <> max(operations.client_id)
)

insert into refresh.shared_cheques (cheque_id, client_id)
select distinct
    operations.cheque_id,
    operations.client_id
from cheques
inner join core.operations on operations.cheque_id = cheques.cheque_id
cross join mart.parameters
where
    operations.deleted_at is null
    and operations.bonus_source is distinct from parameters.friend_bonus_source
on conflict do nothing;

-- name: scope_sharing_clients
-- purpose: add clients who share cheques or lots with clients in scope to the scope of a refresh
-- Checks the rows of clients in scope that are new or vanished since the last refresh: their cheques
-- may belong to another client too, and their lots may have moved to one. A margin of a day covers
-- publishes that began before that refresh and ended after it.
with changed as materialized (
    select
        operations.client_id,
        operations.component_type,
        operations.operation_id,
        operations.cheque_id,
        operations.deleted_at,
        coalesce(operations.bonus_source = parameters.friend_bonus_source, false) as is_of_friend
    from refresh.scope
    inner join core.operations on operations.client_id = scope.client_id
    cross join mart.parameters
    where
        operations.synced_at > (
            select coalesce(max(marts.refreshed_at), '-infinity') - interval '1 day'
            from refresh.marts
            where marts.name = 'cheques'
        )
),

claims as (
    select distinct
        cheque_id,
        client_id
    from changed
    where cheque_id <> 0 and deleted_at is null and not is_of_friend
),

shared as (
    select
        claims.cheque_id,
        claims.client_id,
        cheques.client_id as other_client_id
    from claims
    inner join mart.cheques
        on cheques.cheque_id = claims.cheque_id and cheques.client_id <> claims.client_id
    union
    select
        claims.cheque_id,
        claims.client_id,
        others.client_id as other_client_id
    from claims
    inner join claims as others
        on others.cheque_id = claims.cheque_id and others.client_id <> claims.client_id
),

noted as (
    insert into refresh.shared_cheques (cheque_id, client_id)
    select
        cheque_id,
        client_id
    from shared
    union
    select
        cheque_id,
        other_client_id
    from shared
    on conflict do nothing
)

insert into refresh.scope (client_id)
select other_client_id
from shared
union
select others.client_id
from refresh.scope
inner join refresh.shared_cheques as ours on ours.client_id = scope.client_id
inner join refresh.shared_cheques as others on others.cheque_id = ours.cheque_id
union
select lots.client_id
from changed
inner join mart.lots
    on
        lots.lot_id = changed.operation_id
        and lots.component_type = changed.component_type
        and lots.client_id <> changed.client_id
where changed.deleted_at is not null
on conflict do nothing;

-- name: scope_every_day
-- purpose: add every day with an operation to the scope of a refresh
-- All days from the first to the last, as no mart that lists the days may exist yet.
insert into refresh.days (day)
select series::date
from sync.row_days
cross join
    generate_series(
        row_days.first_day::timestamp,
        greatest(row_days.last_day, (select max(window_to) + 1 from sync.runs))::timestamp,
        interval '1 day'
    ) as series
where row_days.feed = 'operations'
on conflict do nothing;

-- name: scope_passed_clients
-- purpose: add clients affected by the days that passed to the scope of a refresh
-- parameters: after_day, last_day (days that have come lie after the one, through the other)
-- Their lots reached the expiry day, or cheques that were loaded ahead of their day count by now.
insert into refresh.scope (client_id)
select client_id
from mart.lots
where expiry_date > %(after_day)s and expiry_date <= %(last_day)s
union
select client_id
from mart.cheques
where day > %(after_day)s and day <= %(last_day)s
on conflict do nothing;

-- name: forget_horizons
-- purpose: make the next refresh compute everything, after a run that was published in batches
-- parameters: run_id
-- A refresh between two batches saw only a part of the rows, and days without a reading.
delete from refresh.horizons
using sync.runs
where runs.run_id = %(run_id)s and runs.publishing_since is not null;

-- name: forget_all_horizons
-- purpose: make the next refresh compute everything, after old months were removed
delete from refresh.horizons;

-- name: finish_refresh
-- purpose: store through which days, and with which parameters, the tables of mart were computed
insert into refresh.horizons (through_day, newest_day, parameters, names)
select
    through_day,
    newest_day,
    parameters,
    names
from refresh.present
on conflict (is_only) do update set
    through_day = excluded.through_day,
    newest_day = excluded.newest_day,
    parameters = excluded.parameters,
    names = excluded.names;

-- name: mart_signature
-- purpose: a digest of all inputs of the marts; while it is the same, the marts are up to date
-- Facts change only with published runs. Names and parameters change independently.
select
    md5(
        concat_ws(
            '|',
            (
                select string_agg(newest.feed || newest.run_id, ',' order by newest.feed)
                from (
                    select feed, max(run_id) as run_id
                    from sync.runs
                    where status = 'published' and rows_written + rows_deleted > 0
                    group by feed
                ) as newest
            ),
            (select string_agg(coalesce(run_id, 0)::text, ',' order by run_id) from mart.readings),
            (select as_of::text from mart.as_of),
            (select parameters from refresh.present),
            (
                select string_agg(rfm_segments::text, ',' order by priority)
                from mart.rfm_segments
            ),
            (select max(synced_at) from core.points_of_sale),
            (select max(synced_at) from core.bonus_sources),
            (select max(synced_at) from core.goods)
        )
    ) as signature;

-- name: clear_changed_clients
-- purpose: forget the clients whose operations publishes changed, when all are computed again
delete from refresh.changed_clients;

-- name: clear_scope
-- purpose: remove all clients from the scope of a refresh
delete from refresh.scope;

-- name: clear_days
-- purpose: remove all days from the scope of a refresh
delete from refresh.days;

-- name: changed_days
-- purpose: take the days on which publishes changed rows, with the table of these
-- Also those of operations in scope that name a cheque and are not its own: what they weigh hangs on the
-- cheque's own row, whatever its day.
with noted as (
    delete from refresh.changed_days returning table_name, day
)

select
    table_name,
    day
from noted
union
select
    'operations' as table_name,
    operations.operation_date as day
from refresh.scope
inner join core.operations on operations.client_id = scope.client_id
where
    operations.cheque_id <> 0
    and operations.operation_id <> operations.cheque_id
    and coalesce(operations.bonus_id, 0) = 0;

-- name: scope_changed_members
-- purpose: add clients whose membership differs in the marts by client to the scope
-- Registrations may be refreshed before or after operations, or be blocked, so both are compared.
with differing as (
    select client_id
    from (
        select * from mart.members
        except
        select * from mart.known_members
    ) as fresh
    union
    select client_id
    from (
        select * from mart.known_members
        except
        select * from mart.members
    ) as stale
)

insert into refresh.scope (client_id)
select client_id from differing
on conflict do nothing;

-- name: note_changed_days
-- purpose: note on which days a publish changed rows of a table, for the marts that are kept by day
-- parameters: table_name
insert into refresh.changed_days (table_name, day)
select
    %(table_name)s,
    {day}
from {changed}
union
select
    %(table_name)s,
    {day}
from {gone};

-- name: scope_passed_totals
-- purpose: add clients whose balances or recent purchases changed as days passed to the scope
-- parameters: after_day, last_day (days that have come lie after the one, through the other)
-- A lot counts from its issue date and from its active date, and differently in the last 30 days
-- before it expires; a purchase is recent for rfm_days days.
with passed as (
    select %(after_day)s::date as after_day, %(last_day)s::date as last_day
)

insert into refresh.scope (client_id)
select lots.client_id
from passed
inner join mart.lots
    on lots.expiry_date > passed.after_day + 30 and lots.expiry_date <= passed.last_day + 30
union
select lots.client_id
from passed
inner join mart.lots
    on lots.active_date > passed.after_day and lots.active_date <= passed.last_day
union
select lots.client_id
from passed
inner join mart.lots
    on lots.issue_date > passed.after_day and lots.issue_date <= passed.last_day
union
select cheques.client_id
from passed
cross join mart.parameters
inner join mart.cheques
    on
        cheques.day > passed.after_day - parameters.rfm_days
        and cheques.day <= passed.last_day - parameters.rfm_days
on conflict do nothing;

-- name: columns_read
-- purpose: the columns of a mart that the formula of another one reads, and whether they are days
-- parameters: reader, mart (names with their schemas)
select
    pg_attribute.attname,
    pg_attribute.atttypid = 'date'::regtype as is_date
from pg_rewrite
inner join pg_depend
    on pg_depend.classid = 'pg_rewrite'::regclass and pg_depend.objid = pg_rewrite.oid
inner join pg_attribute
    on
        pg_attribute.attrelid = pg_depend.refobjid
        and pg_attribute.attnum = pg_depend.refobjsubid
where
    pg_rewrite.ev_class = %(reader)s::regclass
    and pg_depend.refclassid = 'pg_class'::regclass
    and pg_depend.refobjid = %(mart)s::regclass
    and pg_depend.refobjsubid > 0
group by pg_attribute.attname, pg_attribute.atttypid;

-- name: clear_changed_days
-- purpose: forget on which days publishes changed rows, when everything is computed anew
delete from refresh.changed_days;

-- name: scope_days
-- purpose: add some days to the scope of a refresh
-- parameters: days
insert into refresh.days (day)
select unnest(%(days)s::date[]);

-- name: copy_scope
-- purpose: copy the clients in scope, before others are added for one mart
create temp table scope_before on commit drop as
select client_id from refresh.scope;

-- name: narrow_scope
-- purpose: remove the clients that were added to the scope for one mart
delete from refresh.scope
where client_id not in (select client_id from scope_before);

-- name: restore_scope
-- purpose: restore the clients that were in scope before
insert into refresh.scope (client_id)
select client_id from scope_before;

-- name: columns_of_mart
-- purpose: the columns of a mart, in order, with their types
-- parameters: mart (name with its schema)
select
    attname,
    format_type(atttypid, atttypmod) as type
from pg_attribute
where attrelid = %(mart)s::regclass and attnum > 0 and not attisdropped
order by attnum;

-- name: clear_shared_cheques
-- purpose: forget the shared cheques, before they are found again
delete from refresh.shared_cheques;
