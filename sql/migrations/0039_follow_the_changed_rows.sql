-- purpose: what a refresh reads once instead of several times, and which rows it changed

-- The operations of the clients that a refresh computes. Seven formulas read them; from core.operations,
-- each would look up each client in each month again.
create unlogged table refresh.scoped_operations (
    operation_date date not null,
    client_id bigint not null,
    component_type smallint not null,
    operation_id bigint not null,
    processed_at timestamptz not null,
    bonus_id bigint,
    cheque_id bigint,
    order_id bigint,
    parent_id bigint,
    pos_id bigint,
    partner_name text,
    amount numeric(19, 2),
    added numeric(19, 2),
    redeemed numeric(19, 2),
    discount numeric(19, 2),
    certificate_redeemed numeric(19, 2),
    remain numeric(19, 2),
    is_refund boolean,
    coupon_number text,
    bonus_source smallint,
    is_active boolean,
    active_from timestamptz,
    expires_at timestamptz,
    first_seen_at timestamptz not null,
    synced_at timestamptz not null,
    deleted_at timestamptz
);
comment on table refresh.scoped_operations is 'copies of the operations of the clients in refresh.scope; empty outside of the transaction of a refresh, and while it computes everyone. Grain: operation';

create view refresh.scope_operations as
select *
from refresh.scoped_operations
union all
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
-- A condition without columns: Postgres evaluates it once, and skips this part where it is false.
where (select count(*) = 0 from (select from refresh.scoped_operations limit 1) as copied);
comment on view refresh.scope_operations is 'the operations of the clients in refresh.scope: the copies where there are some, else those of core. Grain: operation';

-- Sums over rows change by the rows that a refresh wrote (sign 1) or removed (sign -1).
create unlogged table refresh.changed_movements (
    sign integer not null,
    movement_date date not null,
    client_id bigint not null,
    kind text not null,
    points numeric not null,
    bonus_source smallint,
    pos_id bigint,
    partner_name text,
    lot_id bigint,
    component_type smallint,
    cheque_id bigint,
    issue_date date,
    expiry_date date,
    pending_until date,
    lots_change integer,
    price_of_point numeric
);
comment on table refresh.changed_movements is 'rows that a refresh wrote to mart.points_movements or removed from it; empty outside of its transaction, and while it computes everyone. Grain: movement';
create unlogged table refresh.changed_lots (
    sign integer not null,
    issue_date date not null,
    active_date date,
    expiry_date date,
    added numeric not null
);
comment on table refresh.changed_lots is 'rows that a refresh wrote to mart.lots or removed from it; empty outside of its transaction, and while it computes everyone. Grain: lot';

create table refresh.burnt_lots (
    client_id bigint not null,
    lot_id bigint not null,
    primary key (client_id, lot_id)
);
comment on table refresh.burnt_lots is 'lots that a row of the burnt source names, or named: when one of them ends, its client is computed again. Grain: client, lot';
comment on column refresh.burnt_lots.client_id is 'the client';
comment on column refresh.burnt_lots.lot_id is 'the lot (operation_id)';

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select, insert, update, delete
        on refresh.scoped_operations, refresh.changed_movements, refresh.changed_lots, refresh.burnt_lots
        to lcm_loader;
        grant select on refresh.scope_operations to lcm_loader;
    end if;
end;
$$;
