-- question: what is there to know about a client, as far as it does not hang on the day?
-- grain: client (member)
-- formula: mart.client_totals of each member, with favourites (confirmed offers in effect), chosen
--   goods and leads in no closed status. mart.client_360 shows it with the day: it would be another
--   row every day.
-- incremental: rows by client_id
create materialized view mart.client_facts as
with offered as (
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
    members.registration_date,
    totals.first_purchase_date,
    totals.last_purchase_date,
    coalesce(totals.purchases, 0) as purchases,
    coalesce(totals.refunds, 0) as refunds,
    coalesce(totals.net_sales, 0::numeric(19, 2)) as net_sales,
    round(totals.purchase_amount / nullif(totals.purchases, 0), 2)::numeric(19, 2)
        as average_cheque,
    coalesce(totals.active_points, 0::numeric(19, 2)) as active_points,
    coalesce(totals.pending_points, 0::numeric(19, 2)) as pending_points,
    coalesce(totals.blocked_points, 0::numeric(19, 2)) as blocked_points,
    coalesce(totals.expiring_points_30_days, 0::numeric(19, 2)) as expiring_points_30_days,
    totals.last_redemption_date,
    coalesce(offered.active_favourites, 0) as active_favourites,
    coalesce(chosen.chosen_goods, 0) as chosen_goods,
    coalesce(asked.open_leads, 0) as open_leads
from mart.members
left join mart.client_totals as totals on totals.client_id = members.client_id
left join offered on offered.client_id = members.client_id
left join chosen on chosen.client_id = members.client_id
left join asked on asked.client_id = members.client_id;

create unique index on mart.client_facts (client_id);

comment on materialized view mart.client_facts is 'a client at a glance, without the day. Grain: client';
comment on column mart.client_facts.client_id is 'the client';
comment on column mart.client_facts.registration_date is 'business day of the first registration';
comment on column mart.client_facts.first_purchase_date is 'day of the first purchase';
comment on column mart.client_facts.last_purchase_date is 'day of the last purchase';
comment on column mart.client_facts.purchases is 'cheques that are no refund';
comment on column mart.client_facts.refunds is 'refunds';
comment on column mart.client_facts.net_sales is 'purchases less refunds, in money';
comment on column mart.client_facts.average_cheque is 'amount of purchases / purchases, without refunds';
comment on column mart.client_facts.active_points is 'points that can be redeemed: what remains in the newest reading';
comment on column mart.client_facts.pending_points is 'points that start later; as active_points';
comment on column mart.client_facts.blocked_points is 'points that have started, and that the source marks as not active; as active_points';
comment on column mart.client_facts.expiring_points_30_days is 'points, active, pending or blocked, that expire in the next 30 days; as active_points';
comment on column mart.client_facts.last_redemption_date is 'day of the last purchase on which points were redeemed';
comment on column mart.client_facts.active_favourites is 'confirmed offers of favourite products in effect';
comment on column mart.client_facts.chosen_goods is 'different favourite goods chosen so far';
comment on column mart.client_facts.open_leads is 'leads in no closed status';
