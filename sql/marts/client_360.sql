-- question: what is there to know about a client?
-- grain: client (member)
-- formula: as of the last day of operations. Purchases are cheques that are no refund; the average
--   cheque is their amount / their number, without refunds; net sales are purchases less refunds.
--   Balances are what remains of lots that have not expired: pending while they start later, blocked
--   when they have started and are marked as not active; what remains is that of the newest reading, so
--   points that were redeemed or expired since that day are not here. Favourites are confirmed offers in effect
--   that are not marked as inactive; open leads are those in no closed status.
create or replace view mart.client_360 as
select
    totals.client_id,
    coalesce(refreshed.operations_day, as_of.operations_day) as as_of_date,
    totals.registration_date,
    totals.first_purchase_date,
    totals.last_purchase_date,
    totals.purchases,
    totals.refunds,
    totals.net_sales,
    round(totals.purchase_amount / nullif(totals.purchases, 0), 2)::numeric(19, 2)
        as average_cheque,
    totals.active_points,
    totals.pending_points,
    totals.blocked_points,
    totals.expiring_points_30_days,
    totals.last_redemption_date,
    coalesce(interests.active_favourites, 0) as active_favourites,
    coalesce(interests.chosen_goods, 0) as chosen_goods,
    coalesce(interests.open_leads, 0) as open_leads
from mart.client_totals as totals
left join mart.client_interests as interests on interests.client_id = totals.client_id
cross join mart.as_of
left join refresh.marts as refreshed on refreshed.name = 'client_totals'
where totals.registration_date is not null;

comment on view mart.client_360 is 'a client at a glance. Grain: client';
comment on column mart.client_360.client_id is 'the client';
comment on column mart.client_360.as_of_date is 'last day of operations';
comment on column mart.client_360.registration_date is 'business day of the first registration';
comment on column mart.client_360.first_purchase_date is 'day of the first purchase';
comment on column mart.client_360.last_purchase_date is 'day of the last purchase';
comment on column mart.client_360.purchases is 'cheques that are no refund';
comment on column mart.client_360.refunds is 'refunds';
comment on column mart.client_360.net_sales is 'purchases less refunds, in money';
comment on column mart.client_360.average_cheque is 'amount of purchases / purchases, without refunds';
comment on column mart.client_360.active_points is 'points that can be redeemed: what remains in the newest reading, made after as_of_date';
comment on column mart.client_360.pending_points is 'points that start later; as active_points';
comment on column mart.client_360.blocked_points is 'points that have started, and that the source marks as not active; as active_points';
comment on column mart.client_360.expiring_points_30_days is 'points, active, pending or blocked, that expire in the 30 days after as_of_date; as active_points';
comment on column mart.client_360.last_redemption_date is 'day of the last purchase on which points were redeemed';
comment on column mart.client_360.active_favourites is 'confirmed offers of favourite products in effect, not marked as inactive';
comment on column mart.client_360.chosen_goods is 'different favourite goods chosen so far';
comment on column mart.client_360.open_leads is 'leads in no closed status';
