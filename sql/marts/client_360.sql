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
    facts.client_id,
    coalesce(refreshed.operations_day, as_of.operations_day) as as_of_date,
    facts.registration_date,
    facts.first_purchase_date,
    facts.last_purchase_date,
    facts.purchases,
    facts.refunds,
    facts.net_sales,
    facts.average_cheque,
    facts.active_points,
    facts.pending_points,
    facts.blocked_points,
    facts.expiring_points_30_days,
    facts.last_redemption_date,
    facts.active_favourites,
    facts.chosen_goods,
    facts.open_leads
from mart.client_facts as facts
cross join mart.as_of
left join refresh.marts as refreshed on refreshed.name = 'client_facts';

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
