-- question: what did a client buy so far, and which points are left?
-- grain: client who is a member, or has a cheque or a lot
-- formula: sums over mart.purchase_months; balances are what remains, in the newest reading, of lots that
--   have not expired by the last day of operations: blocked when the source says that they are not
--   active, though they have started; pending while they start later; else active. Recent are the
--   purchases of the last rfm_days days. Marts by client are made of it.
-- as days pass: pass_days_of_totals
-- as days pass, add clients: scope_passed_totals
create view refresh.client_totals as
with bought as (
    select
        purchase_months.client_id,
        min(purchase_months.first_day) as first_purchase_date,
        max(purchase_months.last_day) as last_purchase_date,
        sum(purchase_months.purchases)::bigint as purchases,
        sum(purchase_months.refunds)::bigint as refunds,
        sum(purchase_months.purchase_amount) as purchase_amount,
        sum(purchase_months.net_sales) as net_sales,
        max(purchase_months.last_redemption_day) as last_redemption_date
    from refresh.scope
    inner join mart.purchase_months on purchase_months.client_id = scope.client_id
    group by purchase_months.client_id
),

-- Both the store and the day of the first: it moves when an earlier cheque comes, or this one vanishes.
first_redemptions as (
    select distinct on (cheques.client_id)
        cheques.client_id,
        cheques.day,
        cheques.pos_id
    from refresh.scope
    inner join mart.cheques on cheques.client_id = scope.client_id
    where
        cheques.redeemed > 0
        and not cheques.is_refund
        and cheques.day <= (select operations_day from mart.as_of)
    order by cheques.client_id asc, cheques.processed_at asc, cheques.cheque_id asc
),

recent as (
    select
        cheques.client_id,
        count(*) filter (where not cheques.is_refund) as purchases,
        sum(cheques.net_amount) as net_sales
    from refresh.scope
    inner join mart.cheques on cheques.client_id = scope.client_id
    cross join mart.as_of
    cross join mart.parameters
    where
        cheques.day <= as_of.operations_day
        and cheques.day > as_of.operations_day - parameters.rfm_days
    group by cheques.client_id
),

owned as (
    select
        lots.client_id,
        sum(lots.remain) filter (
            where lots.is_active is not false and lots.active_date <= as_of.operations_day
        ) as active_points,
        sum(lots.remain) filter (where lots.active_date > as_of.operations_day) as pending_points,
        sum(lots.remain) filter (
            where lots.is_active is false and lots.active_date <= as_of.operations_day
        ) as blocked_points,
        sum(lots.remain) filter (
            where lots.remain > 0 and lots.expiry_date <= as_of.operations_day + 30
        ) as expiring_points_30_days
    from refresh.scope
    inner join mart.lots on lots.client_id = scope.client_id
    cross join mart.as_of
    where
        lots.remain <> 0
        and lots.issue_date <= as_of.operations_day
        and (lots.expiry_date is null or lots.expiry_date > as_of.operations_day)
    group by lots.client_id
)

select
    scope.client_id,
    members.registration_date,
    bought.first_purchase_date,
    bought.last_purchase_date,
    coalesce(bought.purchases, 0) as purchases,
    coalesce(bought.refunds, 0) as refunds,
    coalesce(bought.purchase_amount, 0)::numeric(19, 2) as purchase_amount,
    coalesce(bought.net_sales, 0)::numeric(19, 2) as net_sales,
    first_redemptions.day as first_redemption_date,
    first_redemptions.pos_id as first_redemption_pos_id,
    bought.last_redemption_date,
    coalesce(recent.purchases, 0) as recent_purchases,
    coalesce(recent.net_sales, 0)::numeric(19, 2) as recent_net_sales,
    coalesce(owned.active_points, 0)::numeric(19, 2) as active_points,
    coalesce(owned.pending_points, 0)::numeric(19, 2) as pending_points,
    coalesce(owned.blocked_points, 0)::numeric(19, 2) as blocked_points,
    coalesce(owned.expiring_points_30_days, 0)::numeric(19, 2) as expiring_points_30_days
from refresh.scope
left join mart.members on members.client_id = scope.client_id
left join bought on bought.client_id = scope.client_id
left join first_redemptions on first_redemptions.client_id = scope.client_id
left join recent on recent.client_id = scope.client_id
left join owned on owned.client_id = scope.client_id
where coalesce(members.client_id, bought.client_id, owned.client_id) is not null;

create table mart.client_totals as table refresh.client_totals with no data;
create index on mart.client_totals (client_id);
-- A refresh looks up whose points become usable.
create index if not exists lots_active_date on mart.lots (active_date);

comment on table mart.client_totals is 'purchases of a client through the last day of operations, and balances by the newest reading. Grain: client who is a member, or has a cheque or a lot';
comment on column mart.client_totals.client_id is 'the client';
comment on column mart.client_totals.registration_date is 'business day of the first registration; null for who is no member';
comment on column mart.client_totals.first_purchase_date is 'day of the first purchase';
comment on column mart.client_totals.last_purchase_date is 'day of the last purchase';
comment on column mart.client_totals.purchases is 'cheques that are no refund';
comment on column mart.client_totals.refunds is 'refunds';
comment on column mart.client_totals.purchase_amount is 'amount of purchases, in money';
comment on column mart.client_totals.net_sales is 'purchases less refunds, in money';
comment on column mart.client_totals.first_redemption_date is 'day of the first purchase on which points were redeemed';
comment on column mart.client_totals.first_redemption_pos_id is 'point of sale of that purchase; null when unknown';
comment on column mart.client_totals.last_redemption_date is 'day of the last purchase on which points were redeemed';
comment on column mart.client_totals.recent_purchases is 'purchases of the last rfm_days days';
comment on column mart.client_totals.recent_net_sales is 'net sales of the last rfm_days days, in money';
comment on column mart.client_totals.active_points is 'points that can be redeemed: what remains in the newest reading';
comment on column mart.client_totals.pending_points is 'points that start later; as active_points';
comment on column mart.client_totals.blocked_points is 'points that have started, and that the source marks as not active; as active_points';
comment on column mart.client_totals.expiring_points_30_days is 'points, active, pending or blocked, that expire in the next 30 days; as active_points';
