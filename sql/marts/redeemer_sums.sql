-- question: how many clients redeemed points for the first time ever in a month, where, and how soon?
-- grain: month x store (null where the cheque names none)
-- formula: mart.client_totals by the first purchase on which a client redeemed points; days from
--   registration to it are of members alone, 0 where it came first. mart.redemption is made of it.
-- incremental: sums by month, pos_id
create materialized view mart.redeemer_sums as
select
    date_trunc('month', totals.first_redemption_date::timestamp)::date as month,
    totals.first_redemption_pos_id as pos_id,
    count(*) as first_redeemers,
    count(members.client_id) as members,
    coalesce(sum(greatest(totals.first_redemption_date - members.registration_date, 0)) filter (
        where members.client_id is not null
    ), 0)::bigint as days_from_registration
from refresh.scope
inner join mart.client_totals as totals on totals.client_id = scope.client_id
left join mart.known_members as members on members.client_id = scope.client_id
where totals.first_redemption_date is not null
group by
    date_trunc('month', totals.first_redemption_date::timestamp)::date,
    totals.first_redemption_pos_id;

create unique index on mart.redeemer_sums (month, pos_id);

comment on materialized view mart.redeemer_sums is 'clients who redeemed points for the first time ever. Grain: month, store';
comment on column mart.redeemer_sums.month is 'first day of the month';
comment on column mart.redeemer_sums.pos_id is 'point of sale; null when unknown';
comment on column mart.redeemer_sums.first_redeemers is 'clients who redeemed for the first time ever';
comment on column mart.redeemer_sums.members is 'of them, members: those of whom a registration is known';
comment on column mart.redeemer_sums.days_from_registration is 'sum of their days from registration to it';
