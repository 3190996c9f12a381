-- question: who redeems, where, and how soon?
-- grain: month x store (null where the rows name none: gifts are given in no store)
-- formula: redemption rate = points redeemed / points added; redeemers are clients who redeemed on a
--   purchase, redeemer rate = redeemers / buyers. Days to the first redemption run from registration
--   to the client's first redemption ever, counted where and when that happened, of clients whose
--   registration is known; they are 0 where the redemption came first.
-- incremental: month
create materialized view mart.redemption as
-- A store that sold or gave points in a month has a row of a day there.
with given as (
    select
        date_trunc('month', day::timestamp)::date as month,
        pos_id,
        sum(points_added) as points_added
    from mart.store_daily
    group by date_trunc('month', day::timestamp)::date, pos_id
)

select
    given.month,
    given.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    given.points_added::numeric(19, 2) as points_added,
    coalesce(sold.points_redeemed, 0)::numeric(19, 2) as points_redeemed,
    round(coalesce(sold.points_redeemed, 0) / nullif(given.points_added, 0), 4)
        as redemption_rate,
    coalesce(sold.buyers, 0) as buyers,
    coalesce(sold.redeemers, 0) as redeemers,
    round(sold.redeemers::numeric / nullif(sold.buyers, 0), 4) as redeemer_rate,
    coalesce(firsts.first_redeemers, 0) as first_redeemers,
    coalesce(firsts.members, 0) as registered_first_redeemers,
    round(firsts.days_from_registration::numeric / nullif(firsts.members, 0), 2)
        as days_to_first_redemption,
    (given.month + interval '1 month')::date - 1 <= as_of.operations_day as is_whole_month
from given
cross join mart.as_of
-- No store is a group of its own, whatever ids the stores have. `is not distinct from` could not hash.
left join mart.sales_monthly as sold
    on
        sold.month = given.month
        and coalesce(sold.pos_id, 0) = coalesce(given.pos_id, 0)
        and (sold.pos_id is null) = (given.pos_id is null)
left join mart.redeemer_sums as firsts
    on
        firsts.month = given.month
        and coalesce(firsts.pos_id, 0) = coalesce(given.pos_id, 0)
        and (firsts.pos_id is null) = (given.pos_id is null)
left join core.points_of_sale on points_of_sale.pos_id = given.pos_id;

create unique index on mart.redemption (month, pos_id);

comment on materialized view mart.redemption is 'redemption of points. Grain: month, store';
comment on column mart.redemption.month is 'first day of the month';
comment on column mart.redemption.pos_id is 'point of sale; null when unknown';
comment on column mart.redemption.store_name is 'its name';
comment on column mart.redemption.points_added is 'points given';
comment on column mart.redemption.points_redeemed is 'points redeemed on cheques';
comment on column mart.redemption.redemption_rate is 'redeemed / added; null when none were added';
comment on column mart.redemption.buyers is 'clients with a purchase';
comment on column mart.redemption.redeemers is 'of them, clients who redeemed points';
comment on column mart.redemption.redeemer_rate is 'redeemers / buyers';
comment on column mart.redemption.first_redeemers is 'clients who redeemed for the first time ever';
comment on column mart.redemption.registered_first_redeemers is 'of them, clients whose registration is known';
comment on column mart.redemption.days_to_first_redemption is 'average days from registration to it, of registered_first_redeemers';
comment on column mart.redemption.is_whole_month is 'the month has ended';
