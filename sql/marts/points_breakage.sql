-- question: how many of the points of an issue month will expire, by what became of earlier months?
-- grain: issue month that has ended
-- formula: chain ladder (Mack, ASTIN Bulletin 23(2), 1993: development factors weighted by volume) on the
--   open points of mart.points_vintage at the ends of months: of all issue months that were seen at an
--   age and one month later, stay = their open points later / before, and leave = points that expired
--   in between / open points before. The open points of a month are carried on by these, age by age;
--   its breakage is what has expired and what leaves so. Beyond the oldest age that was seen there is
--   no factor: what is open by then (undeveloped_points) expires by the flat rate, which is shown next to
--   it for comparison. The flat rate of a month is that of its open points in mart.points_liability_daily on
--   as_of_date: expected_breakage of that day, that of the bonus source where mart.source_breakage has one.
--   Points that are clawed back or corrected leave without expiring, as redeemed ones do.
create materialized view mart.points_breakage as
with recursive vintages as (
    select
        issue_month,
        age_months,
        as_of_date,
        issued,
        expired,
        open_points,
        lag(expired) over ages as expired_before,
        lag(open_points) over ages as open_before
    from mart.points_vintage
    where as_of_date = (issue_month + (age_months + 1) * interval '1 month')::date - 1
    window ages as (partition by issue_month order by age_months)
),

steps as (
    select
        age_months,
        sum(open_points) / sum(open_before) as stay,
        sum(expired - expired_before) / sum(open_before) as leave
    from vintages
    where open_before is not null
    group by age_months
    having sum(open_before) > 0
),

newest as (
    select distinct on (issue_month)
        issue_month,
        age_months,
        as_of_date,
        issued,
        expired,
        open_points
    from vintages
    order by issue_month asc, age_months desc
),

carried as (
    select
        issue_month,
        age_months,
        round(open_points, 12) as open_points,
        0::numeric as leaving
    from newest
    union all
    select
        carried.issue_month,
        steps.age_months,
        round(carried.open_points * steps.stay, 12),
        round(carried.leaving + carried.open_points * steps.leave, 12)
    from carried
    inner join steps on steps.age_months = carried.age_months + 1
),

developed as (
    select distinct on (issue_month)
        issue_month,
        open_points as undeveloped,
        leaving
    from carried
    order by issue_month asc, age_months desc
),

-- By bonus source, which may have a rate of its own. The newest end of a month is the same for all issue months.
open_by_source as (
    select
        issue_month,
        bonus_source,
        sum(added - redeemed - expired - clawed_back + corrections + residual) as points
    from mart.points_sums
    where movement_date <= (select max(as_of_date) from newest)
    group by issue_month, bonus_source
),

flat as (
    select
        newest.issue_month,
        parameters.point_value,
        coalesce(
            sum(
                sources.points * coalesce(own.expected_breakage, parameters.expected_breakage)
            ) / nullif(newest.open_points, 0),
            parameters.expected_breakage
        ) as breakage
    from newest
    inner join mart.dated_parameters as parameters
        on newest.as_of_date between parameters.first_day and parameters.last_day
    left join open_by_source as sources on sources.issue_month = newest.issue_month
    left join refresh.source_breakage as own
        on
            own.bonus_source = sources.bonus_source
            and newest.as_of_date between own.first_day and own.last_day
    group by
        newest.issue_month,
        newest.open_points,
        parameters.point_value,
        parameters.expected_breakage
),

expected as (
    select
        newest.*,
        developed.undeveloped,
        developed.leaving + developed.undeveloped * flat.breakage as to_expire,
        flat.breakage as flat_breakage,
        flat.point_value
    from newest
    inner join developed on developed.issue_month = newest.issue_month
    inner join flat on flat.issue_month = newest.issue_month
)

select
    issue_month,
    as_of_date,
    age_months,
    issued::numeric(19, 2) as issued,
    expired::numeric(19, 2) as expired,
    open_points::numeric(19, 2) as open_points,
    undeveloped::numeric(19, 2) as undeveloped_points,
    to_expire::numeric(19, 2) as expected_to_expire,
    round((expired + to_expire) / issued, 4) as breakage_rate,
    round(to_expire / nullif(open_points, 0), 4) as open_breakage_rate,
    flat_breakage::numeric(19, 4) as flat_breakage,
    (open_points - to_expire)::numeric(19, 2) as expected_points,
    ((open_points - to_expire) * point_value)::numeric(19, 2) as expected_value,
    (open_points * (1 - flat_breakage) * point_value)::numeric(19, 2)
        as flat_expected_value
from expected;

create unique index on mart.points_breakage (issue_month);

comment on materialized view mart.points_breakage is 'breakage of each issue month by what became of earlier ones (chain ladder), beside the flat rate. Grain: issue month that has ended';
comment on column mart.points_breakage.issue_month is 'first day of the month in which the points were given';
comment on column mart.points_breakage.as_of_date is 'last day of the newest month that has ended';
comment on column mart.points_breakage.age_months is 'months from the issue month to it';
comment on column mart.points_breakage.issued is 'points given in the issue month';
comment on column mart.points_breakage.expired is 'of them, expired by as_of_date';
comment on column mart.points_breakage.open_points is 'of them, left at as_of_date';
comment on column mart.points_breakage.undeveloped_points is 'of the open ones, left at the oldest age that was ever seen; the flat rate is taken of them';
comment on column mart.points_breakage.expected_to_expire is 'of the open ones, expected to expire';
comment on column mart.points_breakage.breakage_rate is '(expired + expected to expire) / issued';
comment on column mart.points_breakage.open_breakage_rate is 'expected to expire / open; null when none are';
comment on column mart.points_breakage.flat_breakage is 'share of the open points that mart.points_liability_daily expects to expire: expected_breakage of as_of_date, by bonus source where mart.source_breakage has it';
comment on column mart.points_breakage.expected_points is 'open points less those expected to expire';
comment on column mart.points_breakage.expected_value is 'expected points in money, by the point value of as_of_date';
comment on column mart.points_breakage.flat_expected_value is 'the same by the flat rate: what mart.points_liability_daily has of these points';
