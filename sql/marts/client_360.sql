-- question: what is there to know about a client?
-- grain: client (member)
-- formula: as of the last day of operations. Purchases are cheques that are no refund; the average
--   cheque is their amount / their number, refunds apart; net sales are purchases less refunds.
--   Balances are what remains of lots that have not expired: pending while they start later or are
--   marked as not active. Favourites are confirmed offers in effect; open leads are those in no
--   closed status.
create materialized view mart.client_360 as
with bought as (
    select
        client_id,
        min(first_day) as first_purchase_date,
        max(last_day) as last_purchase_date,
        sum(purchases)::bigint as purchases,
        sum(refunds)::bigint as refunds,
        sum(purchase_amount) as purchase_amount,
        sum(net_sales) as net_sales,
        max(last_redemption_day) as last_redemption_date
    from mart.purchase_months
    group by client_id
),

owned as (
    select
        lots.client_id,
        sum(lots.remain) filter (
            where lots.is_active is not false and lots.active_date <= as_of.operations_day
        ) as active_points,
        sum(lots.remain) filter (
            where lots.is_active is false or lots.active_date > as_of.operations_day
        ) as pending_points,
        sum(lots.remain) filter (
            where lots.expiry_date <= as_of.operations_day + 30
        ) as expiring_points_30_days
    from mart.lots
    cross join mart.as_of
    where
        lots.remain > 0
        and lots.issue_date <= as_of.operations_day
        and (lots.expiry_date is null or lots.expiry_date > as_of.operations_day)
    group by lots.client_id
),

offered as (
    select favourite_offers.client_id, count(*) as active_favourites
    from core.favourite_offers
    cross join mart.parameters
    cross join mart.as_of
    where
        favourite_offers.deleted_at is null
        and favourite_offers.is_confirmed
        and favourite_offers.is_inactive is not true
        and favourite_offers.offer_date >= mart.first_plausible_day()
        and favourite_offers.offer_date <= as_of.favourites_day
        and (
            favourite_offers.active_until is null
            or (favourite_offers.active_until at time zone parameters.timezone)::date
            > as_of.favourites_day
        )
    group by favourite_offers.client_id
),

chosen as (
    select client_id, count(*) as chosen_goods
    from core.favourite_groups
    where deleted_at is null and select_count > 0
    group by client_id
),

asked as (
    select leads.client_id, count(*) as open_leads
    from core.leads
    cross join mart.parameters
    where
        leads.deleted_at is null
        and leads.lead_date >= mart.first_plausible_day()
        and leads.lead_date <= (select leads_day from mart.as_of)
        and (leads.status_name is null or leads.status_name <> all(parameters.closed_lead_statuses))
    group by leads.client_id
)

select
    members.client_id,
    as_of.operations_day as as_of_date,
    members.registration_date,
    bought.first_purchase_date,
    bought.last_purchase_date,
    coalesce(bought.purchases, 0) as purchases,
    coalesce(bought.refunds, 0) as refunds,
    coalesce(bought.net_sales, 0) as net_sales,
    round(bought.purchase_amount / nullif(bought.purchases, 0), 2) as average_cheque,
    coalesce(owned.active_points, 0) as active_points,
    coalesce(owned.pending_points, 0) as pending_points,
    coalesce(owned.expiring_points_30_days, 0) as expiring_points_30_days,
    bought.last_redemption_date,
    coalesce(offered.active_favourites, 0) as active_favourites,
    coalesce(chosen.chosen_goods, 0) as chosen_goods,
    coalesce(asked.open_leads, 0) as open_leads
from mart.members
cross join mart.as_of
left join bought on bought.client_id = members.client_id
left join owned on owned.client_id = members.client_id
left join offered on offered.client_id = members.client_id
left join chosen on chosen.client_id = members.client_id
left join asked on asked.client_id = members.client_id;

create unique index on mart.client_360 (client_id);

comment on materialized view mart.client_360 is 'a client at a glance. Grain: client';
comment on column mart.client_360.client_id is 'the client';
comment on column mart.client_360.as_of_date is 'last day of operations';
comment on column mart.client_360.registration_date is 'business day of the first registration';
comment on column mart.client_360.first_purchase_date is 'day of the first purchase';
comment on column mart.client_360.last_purchase_date is 'day of the last purchase';
comment on column mart.client_360.purchases is 'cheques that are no refund';
comment on column mart.client_360.refunds is 'refunds';
comment on column mart.client_360.net_sales is 'purchases less refunds, in money';
comment on column mart.client_360.average_cheque is 'amount of purchases / purchases, refunds apart';
comment on column mart.client_360.active_points is 'points that can be redeemed';
comment on column mart.client_360.pending_points is 'points not usable yet, or blocked';
comment on column mart.client_360.expiring_points_30_days is 'points, active and pending, that expire in the next 30 days';
comment on column mart.client_360.last_redemption_date is 'day of the last purchase on which points were redeemed';
comment on column mart.client_360.active_favourites is 'confirmed offers of favourite products in effect';
comment on column mart.client_360.chosen_goods is 'different favourite goods chosen so far';
comment on column mart.client_360.open_leads is 'leads in no closed status';
