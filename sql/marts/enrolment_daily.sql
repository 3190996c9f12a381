-- question: who joins, where, and do they buy?
-- grain: registration day x store of registration
-- formula: enrolments are clients by their first registration; virtual when their first card is.
--   bought: the first purchase lies at most first_purchase_days days after the registration (day 0
--   is that day, and the day of a purchase before it). The share is final once is_mature says that so many days have passed. What was
--   bought is null where operations since the registration are not stored any more
--   (LCM_RETENTION_MONTHS). Sums of mart.enrolment_sums.
create or replace view mart.enrolment_daily as
select
    enrolled.day,
    enrolled.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    enrolled.enrolments,
    enrolled.virtual_enrolments,
    round(enrolled.virtual_enrolments::numeric / enrolled.enrolments, 4) as virtual_share,
    case when known.is_known then enrolled.bought end as bought,
    case when known.is_known then round(enrolled.bought::numeric / enrolled.enrolments, 4) end
        as bought_share,
    case
        when known.is_known
            then round(enrolled.days_to_first_purchase::numeric / nullif(enrolled.buyers, 0), 2)
    end as days_to_first_purchase,
    known.is_known
    and enrolled.day + parameters.first_purchase_days
    <= coalesce(refreshed.operations_day, as_of.operations_day) as is_mature
from mart.enrolment_sums as enrolled
cross join mart.parameters
cross join mart.as_of
cross join lateral (
    select enrolled.day >= coalesce(as_of.operations_kept_from, '-infinity') as is_known
) as known
left join refresh.marts as refreshed on refreshed.name = 'enrolment_sums'
left join core.points_of_sale on points_of_sale.pos_id = enrolled.pos_id;

comment on view mart.enrolment_daily is 'new members, and whether they buy. Grain: registration day, store';
comment on column mart.enrolment_daily.day is 'business day of the first registration';
comment on column mart.enrolment_daily.pos_id is 'point of sale of the first registration';
comment on column mart.enrolment_daily.store_name is 'its name';
comment on column mart.enrolment_daily.enrolments is 'new members';
comment on column mart.enrolment_daily.virtual_enrolments is 'of them, with a virtual first card';
comment on column mart.enrolment_daily.virtual_share is 'virtual / all';
comment on column mart.enrolment_daily.bought is 'of them, with a purchase in first_purchase_days days; null where purchases of that time are not stored any more';
comment on column mart.enrolment_daily.bought_share is 'bought / all; null as bought';
comment on column mart.enrolment_daily.days_to_first_purchase is 'average days to the first purchase, of those who have bought by now; null as bought';
comment on column mart.enrolment_daily.is_mature is 'first_purchase_days days have passed and bought is known, so it is final';
