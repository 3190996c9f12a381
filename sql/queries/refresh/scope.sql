-- refresh.scope: the clients that a refresh computes, their operations, and who shares cheques

-- name: scope_changed_clients
-- purpose: add the clients whose operations publishes changed to the scope of a refresh
with taken as (
    delete from refresh.changed_clients returning client_id, changed_at
)

insert into refresh.scope (client_id, changed_at)
select client_id, min(changed_at) as changed_at
from taken
group by client_id;

-- name: scope_sharing_clients
-- purpose: add clients who share cheques or lots with clients in scope to the scope of a refresh
-- Checks the rows of clients in scope that are new or vanished since the last refresh: their cheques
-- may belong to another client too, and their lots may have moved to one.
with changed as materialized (
    select
        operations.client_id,
        operations.component_type,
        operations.operation_id,
        operations.cheque_id,
        operations.deleted_at,
        coalesce(operations.bonus_source = parameters.friend_bonus_source, false) as is_of_friend
    from refresh.scope
    inner join refresh.scope_operations as operations
        on
            operations.client_id = scope.client_id
            and operations.synced_at >= scope.changed_at
    cross join mart.parameters
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

recorded as (
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

-- name: scope_changed_members
-- purpose: add clients whose membership differs in the marts by client to the scope
-- Registrations may be refreshed before or after operations, or be blocked, so both are compared.
insert into refresh.scope (client_id)
select coalesce(members.client_id, known_members.client_id)
from mart.members
full join mart.known_members on known_members.client_id = members.client_id
-- By column: rows as a whole take twice as long to compare.
where
    (
        members.client_id, members.registration_date, members.pos_id, members.is_virtual,
        members.card_type, members.cards
    )
    is distinct from (
        known_members.client_id, known_members.registration_date, known_members.pos_id,
        known_members.is_virtual, known_members.card_type, known_members.cards
    )
on conflict do nothing;

-- name: scope_passed_clients
-- purpose: add clients who have to be computed again because days passed to the scope of a refresh
-- parameters: after_day, last_day, through_day (days that have come lie after the first, through the
--   second; those through the third have ended)
-- Rows that were loaded ahead of their day count by now. A lot that ended is simply gone (expire_lots),
-- unless its ledger depends on it: if it is known from a cheque only, if it was blocked, if a row of the
-- burnt source names it, or if it moved on its last day or later.
insert into refresh.scope (client_id)
select client_id
from mart.cheques
where day > %(after_day)s and day <= %(last_day)s
union
select client_id
from mart.lots
where issue_date > %(after_day)s and issue_date <= %(last_day)s
union
select lots.client_id
from mart.lots
where
    lots.expiry_date > %(after_day)s
    and lots.expiry_date <= %(through_day)s
    and (
        lots.is_told_by_cheque
        or (
            lots.remain <> 0
            and (
                lots.is_active is false
                or exists (
                    select from refresh.burnt_lots as burnt
                    where burnt.client_id = lots.client_id and burnt.lot_id = lots.lot_id
                )
                or (
                    lots.remain <> lots.added
                    and not exists (
                        select from mart.points_movements as moved
                        where
                            moved.client_id = lots.client_id
                            and moved.lot_id = lots.lot_id
                            and moved.component_type = lots.component_type
                        having
                            max(moved.movement_date) < lots.expiry_date
                            and sum(moved.points) = lots.remain
                    )
                )
            )
        )
    )
on conflict do nothing;

-- name: scope_passed_totals
-- purpose: add clients who may have nothing left as days passed to the scope of a refresh
-- parameters: after_day, through_day (their lots ended after the one, through the other)
insert into refresh.scope (client_id)
select lots.client_id
from mart.lots
left join mart.client_totals as totals on totals.client_id = lots.client_id
where
    lots.expiry_date > %(after_day)s
    and lots.expiry_date <= %(through_day)s
    and lots.remain <> 0
    and coalesce(totals.purchases + totals.refunds, 0) = 0
on conflict do nothing;

-- name: scope_everyone
-- purpose: add every client to the scope of a refresh
insert into refresh.scope (client_id)
select client_id from core.operations
union
select client_id from core.registrations
on conflict do nothing;

-- name: scope_has_clients
-- purpose: whether any client is in the scope of a refresh
select exists (select from refresh.scope);

-- name: clear_scope
-- purpose: remove all clients from the scope of a refresh
delete from refresh.scope;

-- name: copy_scope
-- purpose: copy the clients in scope, before others are added for one mart
create temp table scope_before on commit drop as
select client_id from refresh.scope;

-- name: narrow_scope
-- purpose: remove the clients that were added to the scope for one mart
delete from refresh.scope
where client_id not in (select client_id from scope_before);

-- name: scope_is_small
-- purpose: whether a copy of the operations in scope costs little, compared with all operations
select
    (select count(*) from refresh.scope)
    <= greatest(1000, (select reltuples / 20 from pg_class where oid = 'core.clients'::regclass))
    as is_small;

-- name: find_operations
-- purpose: the operations of the clients in scope whose operations are not copied yet
-- In a statement of its own: Postgres reads for `create table as` with several workers, not for an insert.
create temp table found_operations on commit drop as
select
    operations.operation_date,
    operations.client_id,
    operations.component_type,
    operations.operation_id,
    operations.processed_at,
    operations.bonus_id,
    operations.cheque_id,
    operations.order_id,
    operations.parent_id,
    operations.pos_id,
    operations.partner_name,
    operations.amount,
    operations.added,
    operations.redeemed,
    operations.discount,
    operations.certificate_redeemed,
    operations.remain,
    operations.is_refund,
    operations.coupon_number,
    operations.bonus_source,
    operations.is_active,
    operations.active_from,
    operations.expires_at,
    operations.first_seen_at,
    operations.synced_at,
    operations.deleted_at
from refresh.scope
inner join core.operations on operations.client_id = scope.client_id
where not scope.is_copied;

-- name: copy_operations
-- purpose: copy the operations that were found
with copied as (
    update refresh.scope set is_copied = true
    where not is_copied
)

insert into refresh.scoped_operations
select * from found_operations;

-- name: clear_copied_operations
-- purpose: remove the copies of operations
delete from refresh.scoped_operations;

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

-- name: clear_shared_cheques
-- purpose: forget the shared cheques, before they are found again
delete from refresh.shared_cheques;
