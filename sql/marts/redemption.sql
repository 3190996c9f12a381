-- question: who redeems, where, and how soon?
-- grain: month x store (null where the rows tell none: gifts are given in no store)
-- formula: redemption rate = points redeemed / points added; redeemers are clients who redeemed on a
--   purchase, redeemer rate = redeemers / buyers. Days to the first redemption run from registration
--   to the client's first redemption ever, counted where and when that happened.
create materialized view mart.redemption as
with given as (
    select date_trunc('month', issue_date)::date as month, pos_id, sum(added) as points_added
    from mart.lots
    where issue_date <= (select operations_day from mart.as_of)
    group by date_trunc('month', issue_date)::date, pos_id
),

first_redemptions as (
    select distinct on (client_id)
        client_id,
        date_trunc('month', day)::date as month,
        pos_id,
        day
    from mart.cheques
    where redeemed > 0 and not is_refund and day <= (select operations_day from mart.as_of)
    order by client_id asc, processed_at asc, cheque_id asc
),

firsts as (
    select
        first_redemptions.month,
        first_redemptions.pos_id,
        count(*) as first_redeemers,
        round(avg(first_redemptions.day - members.registration_date), 2)
            as days_to_first_redemption
    from first_redemptions
    left join mart.members on members.client_id = first_redemptions.client_id
    group by first_redemptions.month, first_redemptions.pos_id
),

stores as (
    select month, pos_id from mart.sales_monthly
    union
    select month, pos_id from given
)

select
    stores.month,
    stores.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    coalesce(given.points_added, 0) as points_added,
    coalesce(sold.points_redeemed, 0) as points_redeemed,
    round(sold.points_redeemed / nullif(given.points_added, 0), 4) as redemption_rate,
    coalesce(sold.buyers, 0) as buyers,
    coalesce(sold.redeemers, 0) as redeemers,
    round(sold.redeemers::numeric / nullif(sold.buyers, 0), 4) as redeemer_rate,
    coalesce(firsts.first_redeemers, 0) as first_redeemers,
    firsts.days_to_first_redemption,
    (stores.month + interval '1 month')::date - 1 <= as_of.operations_day as is_whole_month
from stores
cross join mart.as_of
left join mart.sales_monthly as sold
    on sold.month = stores.month and coalesce(sold.pos_id, -1) = coalesce(stores.pos_id, -1)
left join given
    on given.month = stores.month and coalesce(given.pos_id, -1) = coalesce(stores.pos_id, -1)
left join firsts
    on firsts.month = stores.month and coalesce(firsts.pos_id, -1) = coalesce(stores.pos_id, -1)
left join core.points_of_sale on points_of_sale.pos_id = stores.pos_id;

create unique index on mart.redemption (month, pos_id);

comment on materialized view mart.redemption is 'redemption of points. Grain: month, store';
comment on column mart.redemption.month is 'first day of the month';
comment on column mart.redemption.pos_id is 'point of sale; null when not told';
comment on column mart.redemption.store_name is 'its name';
comment on column mart.redemption.points_added is 'points given';
comment on column mart.redemption.points_redeemed is 'points redeemed on cheques';
comment on column mart.redemption.redemption_rate is 'redeemed / added; null when none were added';
comment on column mart.redemption.buyers is 'clients with a purchase';
comment on column mart.redemption.redeemers is 'of them, clients who redeemed points';
comment on column mart.redemption.redeemer_rate is 'redeemers / buyers';
comment on column mart.redemption.first_redeemers is 'clients who redeemed for the first time ever';
comment on column mart.redemption.days_to_first_redemption is 'their average days from registration to it';
comment on column mart.redemption.is_whole_month is 'the month has ended';
