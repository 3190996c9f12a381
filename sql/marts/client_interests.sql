-- question: which favourites does a client have, and which leads are open?
-- grain: client with any of these
-- formula: favourites are confirmed offers in effect, chosen goods those of groups with a choice, open
--   leads those in no closed status. mart.client_360 shows them.
-- incremental: rows by client_id
create materialized view mart.client_interests as
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
    client_id,
    coalesce(offered.active_favourites, 0) as active_favourites,
    coalesce(chosen.chosen_goods, 0) as chosen_goods,
    coalesce(asked.open_leads, 0) as open_leads
from offered
full join chosen using (client_id)
full join asked using (client_id);

create unique index on mart.client_interests (client_id);

comment on materialized view mart.client_interests is 'favourites and open leads of a client. Grain: client with any';
comment on column mart.client_interests.client_id is 'the client';
comment on column mart.client_interests.active_favourites is 'confirmed offers of favourite products in effect';
comment on column mart.client_interests.chosen_goods is 'different favourite goods chosen so far';
comment on column mart.client_interests.open_leads is 'leads in no closed status';
