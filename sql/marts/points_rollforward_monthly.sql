-- question: how did the liability for points, in money, become what it is, and which revenue is deferred?
-- grain: month
-- formula: opening + issued - redeemed - expired - clawed_back + corrections + residual + re_estimated
--   + rounding = closing. closing is the sum of expected_value of mart.points_liability_daily on the
--   last day of the month (of the last day known in the running one). Flows are those of
--   mart.points_bridge_monthly, each x point_value x (1 - expected_breakage) of its own day and bonus
--   source. re_estimated is what edits of these did: points outstanding on the day before a date from
--   which parameters hold x the change of both. rounding is the rest: closing is a sum of rounded rows.
--   Deferred revenue (IFRS 15, B39 to B46): deferred_issued is the part of the price of purchases that
--   goes to their points by relative stand-alone selling prices, see mart.points_sums. Of each issue
--   month and source, it is recognised as points are redeemed, of those expected to be: closing is
--   money set aside x e / (r + e), where r are points redeemed so far and e are open points x (1 -
--   expected_breakage), at the end of the month. So breakage is recognised with the redemptions.
create materialized view mart.points_rollforward_monthly as
with months as (
    select
        bridge.month,
        bridge.is_whole_month,
        least((bridge.month + interval '1 month')::date - 1, as_of.operations_day) as last_day
    from mart.points_bridge_monthly as bridge
    cross join mart.as_of
),

-- A rate holds for a period: sums of its days times the rate are the sums of days times the rate.
flows as (
    select
        date_trunc('month', sums.movement_date)::date as month,
        sums.issue_month,
        sums.bonus_source,
        parameters.point_value
        * (1 - coalesce(own.expected_breakage, parameters.expected_breakage)) as rate,
        sum(sums.added) as added,
        sum(sums.redeemed) as redeemed,
        sum(sums.expired) as expired,
        sum(sums.clawed_back) as clawed_back,
        sum(sums.corrections) as corrections,
        sum(sums.residual) as residual,
        sum(sums.deferred_added) as deferred_added,
        sum(sums.deferred_clawed_back) as deferred_clawed_back,
        sum(sums.priced_redeemed) as priced_redeemed,
        sum(sums.priced_change) as priced_change
    from mart.points_sums as sums
    inner join mart.dated_parameters as parameters
        on sums.movement_date between parameters.first_day and parameters.last_day
    left join refresh.source_breakage as own
        on
            own.bonus_source = sums.bonus_source
            and sums.movement_date between own.first_day and own.last_day
    where sums.movement_date <= (select operations_day from mart.as_of)
    group by month, sums.issue_month, sums.bonus_source, rate
),

valued as (
    select
        month,
        round(sum(added * rate), 2) as issued,
        round(sum(redeemed * rate), 2) as redeemed,
        round(sum(expired * rate), 2) as expired,
        round(sum(clawed_back * rate), 2) as clawed_back,
        round(sum(corrections * rate), 2) as corrections,
        round(sum(residual * rate), 2) as residual,
        round(sum(deferred_added), 2) as deferred_issued,
        round(sum(deferred_clawed_back), 2) as deferred_clawed_back
    from flows
    group by month
),

edits as (
    select first_day as day from mart.dated_parameters
    union
    select first_day from refresh.source_breakage
),

outstanding as (
    select
        edits.day,
        sums.bonus_source,
        sum(
            sums.added - sums.redeemed - sums.expired - sums.clawed_back + sums.corrections
            + sums.residual
        ) as points
    from edits
    inner join mart.points_sums as sums on sums.movement_date < edits.day
    where edits.day <= (select operations_day from mart.as_of)
    group by edits.day, sums.bonus_source
),

re_estimated as (
    select
        date_trunc('month', outstanding.day)::date as month,
        round(
            sum(
                outstanding.points * (
                    since.point_value
                    * (1 - coalesce(own_since.expected_breakage, since.expected_breakage))
                    - until.point_value
                    * (1 - coalesce(own_until.expected_breakage, until.expected_breakage))
                )
            ),
            2
        ) as value
    from outstanding
    inner join mart.dated_parameters as since
        on outstanding.day between since.first_day and since.last_day
    inner join mart.dated_parameters as until
        on outstanding.day - 1 between until.first_day and until.last_day
    left join refresh.source_breakage as own_since
        on
            own_since.bonus_source = outstanding.bonus_source
            and outstanding.day between own_since.first_day and own_since.last_day
    left join refresh.source_breakage as own_until
        on
            own_until.bonus_source = outstanding.bonus_source
            and outstanding.day - 1 between own_until.first_day and own_until.last_day
    group by date_trunc('month', outstanding.day)::date
),

closings as (
    select
        months.month,
        sum(liability.expected_value) as closing,
        sum(liability.outstanding_value) as outstanding_value
    from months
    inner join mart.points_liability_daily as liability on liability.day = months.last_day
    group by months.month
),

-- Each issue month and source at the end of each month.
deferring as (
    select
        months.month,
        months.last_day,
        flows.bonus_source,
        sum(flows.deferred_added - flows.deferred_clawed_back) as money,
        greatest(sum(flows.priced_redeemed), 0) as redeemed,
        greatest(sum(flows.priced_change), 0) as open_points
    from months
    inner join flows on flows.month <= months.month
    group by months.month, months.last_day, flows.issue_month, flows.bonus_source
),

deferred as (
    select
        deferring.month,
        round(
            sum(
                deferring.money * deferring.open_points * kept.share
                / (deferring.redeemed + deferring.open_points * kept.share)
            ),
            2
        ) as closing
    from deferring
    inner join mart.dated_parameters as parameters
        on deferring.last_day between parameters.first_day and parameters.last_day
    left join refresh.source_breakage as own
        on
            own.bonus_source = deferring.bonus_source
            and deferring.last_day between own.first_day and own.last_day
    cross join lateral (
        select 1 - coalesce(own.expected_breakage, parameters.expected_breakage) as share
    ) as kept
    where deferring.open_points > 0 and kept.share > 0
    group by deferring.month
),

rows_by_month as (
    select
        months.month,
        coalesce(lag(closings.closing) over in_order, 0) as opening,
        coalesce(valued.issued, 0) as issued,
        coalesce(valued.redeemed, 0) as redeemed,
        coalesce(valued.expired, 0) as expired,
        coalesce(valued.clawed_back, 0) as clawed_back,
        coalesce(valued.corrections, 0) as corrections,
        coalesce(valued.residual, 0) as residual,
        coalesce(re_estimated.value, 0) as re_estimated,
        coalesce(closings.closing, 0) as closing,
        coalesce(closings.outstanding_value, 0) as outstanding_value,
        coalesce(lag(deferred.closing) over in_order, 0) as deferred_opening,
        coalesce(valued.deferred_issued, 0) as deferred_issued,
        coalesce(valued.deferred_clawed_back, 0) as deferred_clawed_back,
        coalesce(deferred.closing, 0) as deferred_closing,
        months.is_whole_month
    from months
    left join valued on valued.month = months.month
    left join re_estimated on re_estimated.month = months.month
    left join closings on closings.month = months.month
    left join deferred on deferred.month = months.month
    window in_order as (order by months.month)
)

select
    month,
    opening::numeric(19, 2) as opening,
    issued::numeric(19, 2) as issued,
    redeemed::numeric(19, 2) as redeemed,
    expired::numeric(19, 2) as expired,
    clawed_back::numeric(19, 2) as clawed_back,
    corrections::numeric(19, 2) as corrections,
    residual::numeric(19, 2) as residual,
    re_estimated::numeric(19, 2) as re_estimated,
    (
        closing - opening - issued + redeemed + expired + clawed_back - corrections - residual
        - re_estimated
    )::numeric(19, 2) as rounding,
    closing::numeric(19, 2) as closing,
    outstanding_value::numeric(19, 2) as outstanding_value,
    deferred_opening::numeric(19, 2) as deferred_opening,
    deferred_issued::numeric(19, 2) as deferred_issued,
    deferred_clawed_back::numeric(19, 2) as deferred_clawed_back,
    (
        deferred_opening + deferred_issued - deferred_clawed_back - deferred_closing
    )::numeric(19, 2) as revenue_recognised,
    deferred_closing::numeric(19, 2) as deferred_closing,
    is_whole_month
from rows_by_month;

create unique index on mart.points_rollforward_monthly (month);

comment on materialized view mart.points_rollforward_monthly is 'opening + issued - redeemed - expired - clawed back + corrections + residual + re-estimated + rounding = closing, in money after expected breakage; and deferred revenue. Grain: month';
comment on column mart.points_rollforward_monthly.month is 'first day of the month';
comment on column mart.points_rollforward_monthly.opening is 'expected value of the points outstanding before the month: closing of the month before';
comment on column mart.points_rollforward_monthly.issued is 'of points given';
comment on column mart.points_rollforward_monthly.redeemed is 'of points redeemed, less points that refunds gave back';
comment on column mart.points_rollforward_monthly.expired is 'of points expired';
comment on column mart.points_rollforward_monthly.clawed_back is 'of points taken back for refunded cheques';
comment on column mart.points_rollforward_monthly.corrections is 'of deductions by rows, and rows that vanished';
comment on column mart.points_rollforward_monthly.residual is 'of what no row explains';
comment on column mart.points_rollforward_monthly.re_estimated is 'what edits of point value and breakage changed of the points outstanding';
comment on column mart.points_rollforward_monthly.rounding is 'the rest: closing sums up rounded rows';
comment on column mart.points_rollforward_monthly.closing is 'expected value of the points outstanding at the end of the month, or of the last day that is known';
comment on column mart.points_rollforward_monthly.outstanding_value is 'the same points in money, before expected breakage';
comment on column mart.points_rollforward_monthly.deferred_opening is 'deferred revenue before the month';
comment on column mart.points_rollforward_monthly.deferred_issued is 'money set aside of purchases for the points given with them';
comment on column mart.points_rollforward_monthly.deferred_clawed_back is 'of it, money of points that were clawed back';
comment on column mart.points_rollforward_monthly.revenue_recognised is 'revenue recognised: deferred opening + issued - clawed back - closing';
comment on column mart.points_rollforward_monthly.deferred_closing is 'deferred revenue at the end of the month, or of the last day that is known';
comment on column mart.points_rollforward_monthly.is_whole_month is 'the month has ended';
