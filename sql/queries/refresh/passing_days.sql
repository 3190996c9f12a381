-- mart.*: rows of clients that are not in scope, and that change as days pass

-- name: expire_lots
-- purpose: add the lots that ended, of clients that are not in scope, to the stored ledger
-- parameters: after_day, through_day (the lots ended after the one, through the other)
with ended as (
    insert into refresh.changed_movements (
        sign, movement_date, client_id, kind, points, bonus_source, pos_id, partner_name, lot_id,
        component_type, issue_date, expiry_date, pending_until, lots_change, price_of_point
    )
    select
        1,
        lots.expiry_date,
        lots.client_id,
        case when lots.remain > 0 then 'expired' else 'unexplained' end,
        -lots.remain,
        lots.bonus_source,
        lots.pos_id,
        lots.partner_name,
        lots.lot_id,
        lots.component_type,
        lots.issue_date,
        lots.expiry_date,
        case when lots.active_date > lots.issue_date then lots.active_date end,
        -(lots.remain > 0)::integer,
        (
            select max(moved.price_of_point)
            from mart.points_movements as moved
            where
                moved.client_id = lots.client_id
                and moved.lot_id = lots.lot_id
                and moved.component_type = lots.component_type
        )
    from mart.lots
    where
        lots.expiry_date > %(after_day)s
        and lots.expiry_date <= %(through_day)s
        and lots.remain <> 0
        and not exists (select from refresh.scope where scope.client_id = lots.client_id)
    returning *
)

insert into mart.points_movements (
    movement_date, client_id, kind, points, bonus_source, pos_id, partner_name, lot_id,
    component_type, issue_date, expiry_date, pending_until, lots_change, price_of_point
)
select
    movement_date,
    client_id,
    kind,
    points,
    bonus_source,
    pos_id,
    partner_name,
    lot_id,
    component_type,
    issue_date,
    expiry_date,
    pending_until,
    lots_change,
    price_of_point
from ended;

-- name: pass_days_of_totals
-- purpose: let days pass in the totals of clients that are not in scope
-- parameters: after_day, through_day (days that have ended lie after the one, through the other)
-- What lots add to a balance, and cheques to recent purchases, on the new day, less on the day before.
with days (day, sign) as (
    values (%(after_day)s::date, -1), (%(through_day)s::date, 1)
),

changes as (
    select
        lots.client_id,
        0 as purchases,
        0 as net_sales,
        case
            when lots.is_active is not false and lots.active_date <= days.day
                then days.sign * lots.remain
            else 0
        end as active,
        case when lots.active_date > days.day then days.sign * lots.remain else 0 end as pending,
        case
            when lots.is_active is false and lots.active_date <= days.day
                then days.sign * lots.remain
            else 0
        end as blocked,
        case
            when lots.expiry_date <= days.day + 30 then days.sign * greatest(lots.remain, 0)
            else 0
        end
            as expiring
    from mart.lots
    inner join days
        on
            lots.issue_date <= days.day
            and (lots.expiry_date is null or lots.expiry_date > days.day)
    where
        lots.remain <> 0
        and (
            (lots.active_date > %(after_day)s and lots.active_date <= %(through_day)s)
            or (lots.expiry_date > %(after_day)s and lots.expiry_date <= %(through_day)s)
            or (
                lots.expiry_date > %(after_day)s::date + 30
                and lots.expiry_date <= %(through_day)s::date + 30
            )
        )
    union all
    select
        cheques.client_id,
        -(not cheques.is_refund)::integer as purchases,
        -cheques.net_amount as net_sales,
        0 as active,
        0 as pending,
        0 as blocked,
        0 as expiring
    from mart.cheques
    cross join mart.parameters
    where
        cheques.day > %(after_day)s::date - parameters.rfm_days
        and cheques.day <= %(through_day)s::date - parameters.rfm_days
        and cheques.day <= %(after_day)s
),

summed as (
    select
        client_id,
        sum(purchases) as purchases,
        sum(net_sales) as net_sales,
        sum(active) as active,
        sum(pending) as pending,
        sum(blocked) as blocked,
        sum(expiring) as expiring
    from changes
    group by client_id
)

update mart.client_totals set
    recent_purchases = client_totals.recent_purchases + summed.purchases,
    recent_net_sales = client_totals.recent_net_sales + summed.net_sales,
    active_points = client_totals.active_points + summed.active,
    pending_points = client_totals.pending_points + summed.pending,
    blocked_points = client_totals.blocked_points + summed.blocked,
    expiring_points_30_days = client_totals.expiring_points_30_days + summed.expiring
from summed
where
    client_totals.client_id = summed.client_id
    and (
        summed.purchases <> 0
        or summed.net_sales <> 0
        or summed.active <> 0
        or summed.pending <> 0
        or summed.blocked <> 0
        or summed.expiring <> 0
    )
    and not exists (select from refresh.scope where scope.client_id = summed.client_id);

-- name: end_expiring_lots
-- purpose: remove the points that no longer expire soon, as they ended
-- parameters: through_day (the last day that has ended)
delete from mart.expiring_lots
where expiry_date <= %(through_day)s;

-- name: add_expiring_lots
-- purpose: add the points that expire soon by now, of clients that are not in scope
-- parameters: after_day, through_day (days that have ended lie after the one, through the other)
insert into mart.expiring_lots (client_id, expiry_date, points)
select
    lots.client_id,
    lots.expiry_date,
    sum(lots.remain)
from mart.lots
where
    lots.remain > 0
    and lots.issue_date <= %(through_day)s
    and lots.expiry_date > greatest(%(after_day)s::date + 90, %(through_day)s::date)
    and lots.expiry_date <= %(through_day)s::date + 90
    and not exists (select from refresh.scope where scope.client_id = lots.client_id)
group by lots.client_id, lots.expiry_date;
