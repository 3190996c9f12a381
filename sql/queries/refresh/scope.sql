-- refresh.*: what an incremental refresh of the marts computes again

-- name: note_changed_clients
-- purpose: note whose operations a publish changed, for the marts that are kept by client
-- A row that vanished tells another thing once it lives on with another client, or no longer does:
-- then the client that it vanished from is noted too.
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
-- purpose: which days have come since the marts kept by client were computed
-- is_everyone: the parameters are not those of the last time, so everyone has to be computed anew.
with present as (
    select
        as_of.operations_day as through_day,
        as_of.operations_loaded_day as newest_day,
        parameters::text as parameters
    from mart.as_of
    cross join mart.parameters
)

select
    (horizons.parameters is distinct from present.parameters) as is_everyone,
    (
        (horizons.through_day, horizons.newest_day)
        is distinct from (present.through_day, present.newest_day)
    ) as has_moved,
    least(horizons.through_day, present.through_day) as after_day,
    greatest(horizons.newest_day, present.newest_day) as last_day
from present
left join refresh.horizons on true;

-- name: scope_changed_clients
-- purpose: put into the scope of a refresh the clients whose operations publishes changed
with noted as (
    delete from refresh.changed_clients returning client_id
)

insert into refresh.scope (client_id)
select distinct client_id from noted;

-- name: scope_everyone
-- purpose: put every client into the scope of a refresh
insert into refresh.scope (client_id)
select distinct client_id from core.operations;

-- name: scope_every_day
-- purpose: put every day with a cheque into the scope of a refresh
insert into refresh.days (day)
select distinct day from mart.cheques
on conflict do nothing;

-- name: scope_passed_clients
-- purpose: put into the scope of a refresh the clients of whom more is to be told as days have passed
-- parameters: after_day, last_day (days that have come lie after the one, through the other)
-- Lots of theirs reached their expiry day, or cheques that were loaded before count by now. What no
-- row explains stands on the newest day: it moves on there, and nothing of its client has to be
-- computed for that.
with moved as (
    update mart.points_movements
    set movement_date = as_of.operations_day
    from mart.as_of
    where points_movements.kind = 'unexplained' and movement_date <> as_of.operations_day
)

insert into refresh.scope (client_id)
select client_id
from mart.lots
where expiry_date > %(after_day)s and expiry_date <= %(last_day)s
union
select client_id
from mart.cheques
where day > %(after_day)s and day <= %(last_day)s
on conflict do nothing;

-- name: scope_passed_days
-- purpose: put the days that have come into the scope of a refresh
-- parameters: after_day, last_day (they lie after the one, through the other)
insert into refresh.days (day)
select series::date
from generate_series(%(after_day)s::timestamp + interval '1 day', %(last_day)s, interval '1 day')
    as series;

-- name: settle_refresh
-- purpose: remember up to which days and by which parameters the marts kept by client were computed
insert into refresh.horizons (through_day, newest_day, parameters)
select
    as_of.operations_day,
    as_of.operations_loaded_day,
    parameters::text
from mart.as_of
cross join mart.parameters
on conflict (is_only) do update set
    through_day = excluded.through_day,
    newest_day = excluded.newest_day,
    parameters = excluded.parameters;

-- name: mart_signature
-- purpose: a digest of all that the marts are computed from; as long as it stays, so do they
-- Facts change by published runs alone. Names and parameters change by themselves.
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
            (select parameters::text from mart.parameters),
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
-- purpose: forget whose operations publishes changed, when everyone is computed anew
delete from refresh.changed_clients;

-- name: clear_scope
-- purpose: leave no client in the scope of a refresh
delete from refresh.scope;

-- name: clear_days
-- purpose: leave no day in the scope of a refresh
delete from refresh.days;

-- name: compare_clients
-- purpose: compute a mart for the clients in scope, and find those of whom a row differs
-- Run within a transaction: the tables go with it.
create temp table fresh on commit drop as
select * from {formula};

create temp table stale on commit drop as
select stored.*
from {mart} as stored
inner join refresh.scope on scope.client_id = stored.client_id;

create temp table differing on commit drop as
(
    select * from stale
    except all
    select * from fresh
)
union all
(
    select * from fresh
    except all
    select * from stale
);

create temp table differing_clients on commit drop as
select distinct client_id from differing;

analyze differing_clients;

-- name: delete_differing_clients
-- purpose: delete the clients of whom a row differs from a mart
delete from {mart} as stored
using differing_clients
where stored.client_id = differing_clients.client_id;

-- name: insert_differing_clients
-- purpose: write the clients of whom a row differs to a mart
insert into {mart}
select fresh.*
from fresh
inner join differing_clients on differing_clients.client_id = fresh.client_id;

-- name: add_differing_days
-- purpose: put the days of the rows that differ into the scope of a refresh
insert into refresh.days (day)
select distinct day from differing
on conflict do nothing;

-- name: drop_comparison
-- purpose: drop the tables of a comparison, before the next mart is compared
drop table fresh, stale, differing, differing_clients;

-- name: delete_scope_of_mart
-- purpose: delete from a mart the days, or their months, that are in scope
delete from {mart} as stored
using {scope} as scope
where stored.{day} = scope.{day};

-- name: insert_scope_of_mart
-- purpose: write to a mart what its formula says of what is in scope
insert into {mart}
select * from {formula};

-- name: insert_scope_of_mart_by_client
-- purpose: the same, so that the rows of a client lie together, on few pages of table and index
insert into {mart}
select * from {formula}
order by client_id;

-- name: clear_mart
-- purpose: delete all rows of a mart
delete from {mart};
