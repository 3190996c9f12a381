-- question: who joins, where, and do they buy?
-- grain: registration day x store of registration
-- formula: enrolments are clients by their first registration; virtual when their first card is.
--   bought: the first purchase lies at most first_purchase_days days after the registration (day 0
--   is that day). The share is final once is_mature says that so many days have passed.
create materialized view mart.enrolment_daily as
with first_purchases as (
    select client_id, first_purchase_date as day
    from mart.client_totals
    where first_purchase_date is not null
),

enrolled as (
    select
        members.registration_date as day,
        members.pos_id,
        members.is_virtual,
        case
            when first_purchases.day is not null
                then greatest(first_purchases.day - members.registration_date, 0)
        end as days_to_purchase
    from mart.members
    left join first_purchases on first_purchases.client_id = members.client_id
)

select
    enrolled.day,
    enrolled.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    count(*) as enrolments,
    count(*) filter (where enrolled.is_virtual) as virtual_enrolments,
    round(count(*) filter (where enrolled.is_virtual)::numeric / count(*), 4) as virtual_share,
    count(*) filter (where enrolled.days_to_purchase <= parameters.first_purchase_days) as bought,
    round(
        count(*) filter (where enrolled.days_to_purchase <= parameters.first_purchase_days)::numeric
        / count(*),
        4
    ) as bought_share,
    round(avg(enrolled.days_to_purchase), 2) as days_to_first_purchase,
    enrolled.day + parameters.first_purchase_days <= as_of.operations_day as is_mature
from enrolled
cross join mart.parameters
cross join mart.as_of
left join core.points_of_sale on points_of_sale.pos_id = enrolled.pos_id
group by
    enrolled.day,
    enrolled.pos_id,
    points_of_sale.name,
    parameters.first_purchase_days,
    as_of.operations_day;

create unique index on mart.enrolment_daily (day, pos_id);

comment on materialized view mart.enrolment_daily is 'new members, and whether they buy. Grain: registration day, store';
comment on column mart.enrolment_daily.day is 'business day of the first registration';
comment on column mart.enrolment_daily.pos_id is 'point of sale of the first registration';
comment on column mart.enrolment_daily.store_name is 'its name';
comment on column mart.enrolment_daily.enrolments is 'new members';
comment on column mart.enrolment_daily.virtual_enrolments is 'of them, with a virtual first card';
comment on column mart.enrolment_daily.virtual_share is 'virtual / all';
comment on column mart.enrolment_daily.bought is 'of them, with a purchase in first_purchase_days days';
comment on column mart.enrolment_daily.bought_share is 'bought / all';
comment on column mart.enrolment_daily.days_to_first_purchase is 'average days to the first purchase, of those who have bought by now';
comment on column mart.enrolment_daily.is_mature is 'first_purchase_days days have passed, so bought is final';
