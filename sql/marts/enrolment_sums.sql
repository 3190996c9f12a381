-- question: how many clients joined on a day in a store, and how many of them bought?
-- grain: registration day x store of registration
-- formula: as mart.enrolment_daily, which shows it with the shares and the day.
-- incremental: sums by day, pos_id
create materialized view mart.enrolment_sums as
select
    members.registration_date as day,
    members.pos_id,
    count(*) as enrolments,
    count(*) filter (where members.is_virtual) as virtual_enrolments,
    count(*) filter (
        where
        totals.first_purchase_date - members.registration_date <= parameters.first_purchase_days
    ) as bought,
    count(totals.first_purchase_date) as buyers,
    coalesce(sum(greatest(totals.first_purchase_date - members.registration_date, 0)) filter (
        where totals.first_purchase_date is not null
    ), 0)::bigint as days_to_first_purchase
from refresh.scope
inner join mart.known_members as members on members.client_id = scope.client_id
cross join mart.parameters
left join mart.client_totals as totals on totals.client_id = members.client_id
group by members.registration_date, members.pos_id;

create unique index on mart.enrolment_sums (day, pos_id);

comment on materialized view mart.enrolment_sums is 'new members, and those who bought, without the shares. Grain: registration day, store';
comment on column mart.enrolment_sums.day is 'business day of the first registration';
comment on column mart.enrolment_sums.pos_id is 'point of sale of the first registration';
comment on column mart.enrolment_sums.enrolments is 'new members';
comment on column mart.enrolment_sums.virtual_enrolments is 'of them, with a virtual first card';
comment on column mart.enrolment_sums.bought is 'of them, with a purchase in first_purchase_days days';
comment on column mart.enrolment_sums.buyers is 'of them, with a purchase by now';
comment on column mart.enrolment_sums.days_to_first_purchase is 'days from registration to the first purchase, of these buyers together';
