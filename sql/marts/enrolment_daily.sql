-- question: who joins, where, and do they buy?
-- grain: registration day x store of registration
-- formula: enrolments are clients by their first registration; virtual when their first card is.
--   bought: the first purchase lies at most first_purchase_days days after the registration (day 0
--   is that day). The share is final once is_mature says that so many days have passed. Sums of
--   mart.enrolment_sums.
create or replace view mart.enrolment_daily as
select
    enrolled.day,
    enrolled.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    enrolled.enrolments,
    enrolled.virtual_enrolments,
    round(enrolled.virtual_enrolments::numeric / enrolled.enrolments, 4) as virtual_share,
    enrolled.bought,
    round(enrolled.bought::numeric / enrolled.enrolments, 4) as bought_share,
    round(enrolled.days_to_first_purchase::numeric / nullif(enrolled.buyers, 0), 2)
        as days_to_first_purchase,
    enrolled.day + parameters.first_purchase_days
    <= coalesce(refreshed.operations_day, as_of.operations_day) as is_mature
from mart.enrolment_sums as enrolled
cross join mart.parameters
cross join mart.as_of
left join refresh.marts as refreshed on refreshed.name = 'enrolment_sums'
left join core.points_of_sale on points_of_sale.pos_id = enrolled.pos_id;

comment on view mart.enrolment_daily is 'new members, and whether they buy. Grain: registration day, store';
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
