-- question: what are points given for?
-- grain: day x bonus source
-- formula: points of lots; share_of_day = points / all points of the day; a lot is not from a purchase
--   when its source is another one than purchase_bonus_source (or unknown).
-- incremental: day
create materialized view mart.earn_mix as
with given as (
    select
        issue_date as day,
        bonus_source,
        count(*) as lots,
        sum(added) as points
    from mart.lots
    where issue_date <= (select operations_day from mart.as_of)
    group by issue_date, bonus_source
)

select
    given.day,
    given.bonus_source,
    mart.display_text(bonus_sources.name) as bonus_source_name,
    coalesce(given.bonus_source = parameters.purchase_bonus_source, false) as is_from_purchases,
    given.lots,
    given.points::numeric(19, 2) as points,
    round(given.points / sum(given.points) over days, 4) as share_of_day,
    round(
        coalesce(
            sum(given.points) filter (
                where given.bonus_source is distinct from parameters.purchase_bonus_source
            ) over days, 0
        ) / sum(given.points) over days, 4
    ) as share_not_from_purchases
from given
cross join mart.parameters
left join core.bonus_sources on bonus_sources.bonus_source = given.bonus_source
window days as (partition by given.day);

create unique index on mart.earn_mix (day, bonus_source);

comment on materialized view mart.earn_mix is 'points by what they were given for. Grain: day, bonus source';
comment on column mart.earn_mix.day is 'business day';
comment on column mart.earn_mix.bonus_source is 'why points were given';
comment on column mart.earn_mix.bonus_source_name is 'its name';
comment on column mart.earn_mix.is_from_purchases is 'for purchases';
comment on column mart.earn_mix.lots is 'lots';
comment on column mart.earn_mix.points is 'points given';
comment on column mart.earn_mix.share_of_day is 'points / all points of the day';
comment on column mart.earn_mix.share_not_from_purchases is 'share of the day''s points that are not for purchases; the same on all rows of a day';
