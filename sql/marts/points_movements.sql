-- question: which movements made the points that are outstanding?
-- grain: movement: a row of the source, or what is left unsaid by the rows of a client
-- formula: `added` by lots; `redeemed` by cheques (once each) and by bonus rows without a cheque;
--   `expired` by burnt rows, by what still remains of a lot on its expiry day, and silently: lots go
--   to 0 without a row. What a client's lots lost and no row tells is laid on the lots that died
--   silently, oldest death first, at most what they last were known to hold: on refunded cheques as
--   `clawed_back`, else as `expired`. `corrected`: deductions, and rows that vanished although their
--   points had moved. What no rule explains is `unexplained`, on the last day. All movements of a
--   client sum up to what remains of its lots.
create view refresh.points_movements as
with lots as (
    select
        client_id,
        lot_id,
        component_type,
        issue_date,
        bonus_source,
        cheque_id,
        pos_id,
        partner_name,
        added,
        remain,
        expiry_date
    from mart.lots
    inner join refresh.scope using (client_id)
),

takings as (
    select
        operations.client_id,
        operations.operation_date,
        operations.parent_id,
        operations.bonus_source,
        operations.pos_id,
        mart.display_text(operations.partner_name) as partner_name,
        operations.added,
        coalesce(operations.bonus_source = parameters.burnt_bonus_source, false) as is_burnt
    from core.operations
    inner join refresh.scope on scope.client_id = operations.client_id
    cross join mart.parameters
    where
        operations.added < 0
        and operations.deleted_at is null
        and operations.operation_date
        between mart.first_plausible_day() and mart.last_plausible_day()
        and (
            operations.bonus_id <> 0
            or (coalesce(operations.cheque_id, 0) = 0 and coalesce(operations.order_id, 0) = 0)
        )
),

redemptions as (
    select client_id, day, pos_id, partner_name, redeemed
    from mart.cheques
    inner join refresh.scope using (client_id)
    where redeemed <> 0
    union all
    select
        client_id,
        operation_date as day,
        pos_id,
        mart.display_text(partner_name) as partner_name,
        redeemed
    from core.operations
    inner join refresh.scope using (client_id)
    where
        redeemed <> 0
        and deleted_at is null
        and operation_date between mart.first_plausible_day() and mart.last_plausible_day()
        and coalesce(cheque_id, 0) = 0
        and coalesce(order_id, 0) = 0
),

-- Rows that moved to another client (merged cards) or to another day have not vanished.
vanished as (
    select
        gone.client_id,
        gone.operation_date,
        gone.bonus_source,
        gone.pos_id,
        mart.display_text(gone.partner_name) as partner_name,
        case
            when
                gone.bonus_id <> 0
                or (coalesce(gone.cheque_id, 0) = 0 and coalesce(gone.order_id, 0) = 0)
                then greatest(gone.added, 0) - coalesce(gone.remain, 0)
            else 0
        end as spent,
        case when coalesce(gone.bonus_id, 0) = 0 then coalesce(gone.redeemed, 0) else 0 end
            as redeemed
    from core.operations as gone
    inner join refresh.scope on scope.client_id = gone.client_id
    where
        gone.deleted_at is not null
        and gone.operation_date
        between mart.first_plausible_day() and mart.last_plausible_day()
        and (gone.added > 0 or gone.redeemed <> 0)
        and not exists (
            select from core.operations as moved
            where
                moved.component_type = gone.component_type
                and moved.operation_id = gone.operation_id
                and moved.deleted_at is null
        )
),

last_known as (
    select distinct on (client_id, component_type, operation_id)
        client_id,
        component_type,
        operation_id,
        remain
    from history.operations
    inner join refresh.scope using (client_id)
    where added > 0 and remain > 0 and deleted_at is null
    order by client_id asc, component_type asc, operation_id asc, valid_to desc
),

-- What is known of an empty lot, laid beside it by sorting. Joins would be planned for a usual
-- client, and one with a hundred thousand rows would take them hours.
beside as (
    select
        client_id,
        lot_id,
        component_type,
        cheque_id,
        true as is_lot,
        bonus_source,
        pos_id,
        partner_name,
        added,
        expiry_date,
        null::date as refund_day,
        null::numeric as last_remain,
        false as is_burnt
    from lots
    where remain = 0
    union all
    select
        client_id,
        null as lot_id,
        null as component_type,
        parent_id as cheque_id,
        false as is_lot,
        null as bonus_source,
        null as pos_id,
        null as partner_name,
        null as added,
        null as expiry_date,
        day as refund_day,
        null as last_remain,
        false as is_burnt
    from mart.cheques
    inner join refresh.scope using (client_id)
    where is_refund and parent_id is not null
    union all
    select
        client_id,
        operation_id as lot_id,
        component_type,
        null as cheque_id,
        false as is_lot,
        null as bonus_source,
        null as pos_id,
        null as partner_name,
        null as added,
        null as expiry_date,
        null as refund_day,
        remain as last_remain,
        false as is_burnt
    from last_known
    union all
    select
        client_id,
        parent_id as lot_id,
        null as component_type,
        null as cheque_id,
        false as is_lot,
        null as bonus_source,
        null as pos_id,
        null as partner_name,
        null as added,
        null as expiry_date,
        null as refund_day,
        null as last_remain,
        true as is_burnt
    from takings
    where is_burnt and parent_id is not null
),

empty_lots as (
    select
        client_id,
        lot_id,
        is_lot,
        bonus_source,
        pos_id,
        partner_name,
        added,
        expiry_date,
        min(refund_day) over (partition by client_id, cheque_id) as refund_day,
        max(last_remain) over (partition by client_id, lot_id, component_type) as last_remain,
        bool_or(is_burnt) over (partition by client_id, lot_id) as is_told
    from beside
),

silent as (
    select
        client_id,
        lot_id,
        bonus_source,
        pos_id,
        partner_name,
        coalesce(last_remain, added) as most,
        least(refund_day, expiry_date) as movement_date,
        case
            when refund_day <= coalesce(expiry_date, 'infinity') then 'clawed_back'
            else 'expired'
        end as kind
    from empty_lots
    where
        is_lot
        and not is_told
        and (
            refund_day is not null
            or expiry_date <= (select operations_loaded_day from mart.as_of)
        )
),

unsaid as (
    select client_id, sum(points) as points
    from (
        select client_id, added - remain as points from lots
        union all
        select client_id, spent - redeemed as points from vanished
        union all
        select client_id, added as points from takings
        union all
        select client_id, -redeemed as points from redemptions
    ) as together
    group by client_id
),

laid as (
    select
        silent.client_id,
        silent.lot_id,
        silent.bonus_source,
        silent.pos_id,
        silent.partner_name,
        silent.movement_date,
        silent.kind,
        greatest(0, least(silent.most, unsaid.points - coalesce(
            sum(silent.most) over (
                partition by silent.client_id
                order by silent.movement_date, silent.lot_id
                rows between unbounded preceding and 1 preceding
            ), 0
        ))) as points
    from silent
    inner join unsaid on unsaid.client_id = silent.client_id
),

unexplained as (
    select
        unsaid.client_id,
        unsaid.points - coalesce(sum(laid.points), 0) as points
    from unsaid
    left join laid on laid.client_id = unsaid.client_id
    where unsaid.points <> 0
    group by unsaid.client_id, unsaid.points
)

select
    issue_date as movement_date,
    client_id,
    'added' as kind,
    added as points,
    bonus_source,
    pos_id,
    partner_name,
    lot_id
from lots
union all
select
    day as movement_date,
    client_id,
    'redeemed' as kind,
    -redeemed as points,
    null as bonus_source,
    pos_id,
    partner_name,
    null as lot_id
from redemptions
union all
select
    operation_date as movement_date,
    client_id,
    case when is_burnt then 'expired' else 'corrected' end as kind,
    added as points,
    bonus_source,
    pos_id,
    partner_name,
    case when is_burnt then parent_id end as lot_id
from takings
union all
select
    expiry_date as movement_date,
    client_id,
    'expired' as kind,
    -remain as points,
    bonus_source,
    pos_id,
    partner_name,
    lot_id
from lots
where remain > 0 and expiry_date <= (select operations_day from mart.as_of)
union all
select
    movement_date,
    client_id,
    kind,
    -points as points,
    bonus_source,
    pos_id,
    partner_name,
    lot_id
from laid
where points > 0
union all
select
    operation_date as movement_date,
    client_id,
    'corrected' as kind,
    spent - redeemed as points,
    bonus_source,
    pos_id,
    partner_name,
    null as lot_id
from vanished
where spent <> redeemed
union all
select
    (select operations_day from mart.as_of) as movement_date,
    client_id,
    'unexplained' as kind,
    -points as points,
    null as bonus_source,
    null as pos_id,
    null as partner_name,
    null as lot_id
from unexplained
where points <> 0;

create table mart.points_movements as table refresh.points_movements with no data;
create index on mart.points_movements (client_id);
create index on mart.points_movements (movement_date);

comment on table mart.points_movements is 'movements of points; those of a client sum up to what remains of its lots. Grain: movement';
comment on column mart.points_movements.movement_date is 'business day';
comment on column mart.points_movements.client_id is 'the client';
comment on column mart.points_movements.kind is 'added, redeemed, expired, clawed_back (refunds), corrected (deductions, vanished rows) or unexplained';
comment on column mart.points_movements.points is 'points, with their sign';
comment on column mart.points_movements.bonus_source is 'bonus source of the lot, if one is known';
comment on column mart.points_movements.pos_id is 'point of sale of the row or the lot';
comment on column mart.points_movements.partner_name is 'partner of the row or the lot';
comment on column mart.points_movements.lot_id is 'the lot, if one is known';
