-- refresh.changed_*: what publishes have changed, and what a refresh writes of the ledger and of lots

-- name: record_changed_clients
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

-- name: clear_changed_clients
-- purpose: forget the clients whose operations publishes changed, when all are computed again
delete from refresh.changed_clients;

-- name: record_changed_days
-- purpose: record on which days a publish changed rows of a table, for the marts that are kept by day
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

-- name: changed_days
-- purpose: take the days on which publishes changed rows, with the table of these
-- Also those of operations in scope that name a cheque and are not its own: their weight depends on the
-- cheque's own row, whatever its day.
with taken as (
    delete from refresh.changed_days returning table_name, day
)

select
    table_name,
    day
from taken
union
select
    'operations' as table_name,
    operations.operation_date as day
from refresh.scope_operations as operations
where
    operations.cheque_id <> 0
    and operations.operation_id <> operations.cheque_id
    and coalesce(operations.bonus_id, 0) = 0;

-- name: clear_changed_days
-- purpose: forget on which days publishes changed rows, when everything is computed anew
delete from refresh.changed_days;

-- name: record_movements
-- purpose: record which rows of the ledger a refresh writes or removes
insert into refresh.changed_movements (
    sign, movement_date, client_id, kind, points, bonus_source, pos_id, partner_name, lot_id,
    component_type, cheque_id, issue_date, expiry_date, pending_until, lots_change, price_of_point
)
select
    refresh_sign,
    movement_date,
    client_id,
    kind,
    points,
    bonus_source,
    pos_id,
    partner_name,
    lot_id,
    component_type,
    cheque_id,
    issue_date,
    expiry_date,
    pending_until,
    lots_change,
    price_of_point
from differing;

-- name: clear_changed_movements
-- purpose: forget which rows of the ledger changed, after all sums have followed
delete from refresh.changed_movements;

-- name: record_lots
-- purpose: record which lots a refresh writes or removes
insert into refresh.changed_lots (sign, issue_date, active_date, expiry_date, added)
select
    refresh_sign,
    issue_date,
    active_date,
    expiry_date,
    added
from differing;

-- name: clear_changed_lots
-- purpose: forget which lots changed, after all sums have followed
delete from refresh.changed_lots;
