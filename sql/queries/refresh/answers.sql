-- The figures that the marts showed for days and months, and changes to figures of ended months

-- name: publish_days
-- purpose: store the figures of mart.program_daily for the newest day, after it was read
-- Of a day before the first one that is kept there are none.
insert into mart.published_days (
    day, points_added, points_redeemed, points_activated, points_expired
)
select
    program_daily.day,
    program_daily.points_added,
    program_daily.points_redeemed,
    program_daily.points_activated,
    program_daily.points_expired
from mart.as_of
inner join mart.program_daily
    on program_daily.day = as_of.operations_day and program_daily.points_added is not null
inner join mart.readings
    on
        readings.feed = 'operations'
        and readings.last_day = as_of.operations_day
        and readings.run_id is not null
on conflict (day) do nothing;

-- name: publish_months
-- purpose: store the figures of mart.points_bridge_monthly for a month, after its last day was read
insert into mart.published_months (
    month, opening, added, redeemed, expired, clawed_back, corrections, residual, closing
)
select
    bridge.month,
    bridge.opening,
    bridge.added,
    bridge.redeemed,
    bridge.expired,
    bridge.clawed_back,
    bridge.corrections,
    bridge.residual,
    bridge.closing
from mart.as_of
inner join mart.points_bridge_monthly as bridge
    on (bridge.month + interval '1 month')::date - 1 = as_of.operations_day
inner join mart.readings
    on
        readings.feed = 'operations'
        and readings.last_day = as_of.operations_day
        and readings.run_id is not null
on conflict (month) do nothing;

-- name: record_restated_figures
-- purpose: record which figures of months that have ended differ from those of the last refresh, and why
-- The reasons are rows of mart.restated_operations that are new since then, of the month and earlier
-- months. They are compared by number and newest change, as publishes and refreshes overlap in time.
with figures as (
    select
        bridge.month,
        measures.measure,
        measures.value
    from mart.points_bridge_monthly as bridge
    cross join lateral (
        values
        ('points_opening', bridge.opening),
        ('points_added', bridge.added),
        ('points_redeemed', bridge.redeemed),
        ('points_expired', bridge.expired),
        ('points_clawed_back', bridge.clawed_back),
        ('points_corrections', bridge.corrections),
        ('points_residual', bridge.residual),
        ('points_closing', bridge.closing)
    ) as measures (measure, value)
    where bridge.is_whole_month
    union all
    select
        money.month,
        measures.measure,
        measures.value
    from mart.points_rollforward_monthly as money
    cross join lateral (
        values
        ('value_opening', money.opening),
        ('value_issued', money.issued),
        ('value_redeemed', money.redeemed),
        ('value_expired', money.expired),
        ('value_clawed_back', money.clawed_back),
        ('value_corrections', money.corrections),
        ('value_residual', money.residual),
        ('value_re_estimated', money.re_estimated),
        ('value_closing', money.closing),
        ('value_outstanding', money.outstanding_value),
        ('value_deferred_opening', money.deferred_opening),
        ('value_deferred_issued', money.deferred_issued),
        ('value_deferred_clawed_back', money.deferred_clawed_back),
        ('value_revenue_recognised', money.revenue_recognised),
        ('value_deferred_closing', money.deferred_closing)
    ) as measures (measure, value)
    where money.is_whole_month
),

restated as (
    select
        date_trunc('month', day)::date as month,
        reason,
        sum(rows) as rows,
        extract(epoch from max(last_restated_at)) as changed_at
    from mart.restated_operations
    group by date_trunc('month', day)::date, reason
),

present as (
    select
        month,
        measure,
        value
    from figures
    union all
    select
        restated.month,
        measures.measure,
        measures.value
    from restated
    cross join lateral (
        values
        ('rows ' || restated.reason, restated.rows),
        ('newest ' || restated.reason, restated.changed_at)
    ) as measures (measure, value)
),

differing as (
    select
        coalesce(present.month, answers.month) as month,
        coalesce(present.measure, answers.measure) as measure,
        answers.value as value_before,
        present.value as value_after
    from present
    full join refresh.answers
        on answers.month = present.month and answers.measure = present.measure
    where answers.value is distinct from present.value
),

moved_rows as (
    select distinct
        differing.month,
        split_part(differing.measure, ' ', 2) as reason
    from differing
    where split_part(differing.measure, ' ', 1) in ('rows', 'newest')
),

recorded as (
    insert into mart.restated_answers (month, measure, value_before, value_after, reason)
    select
        differing.month,
        differing.measure,
        differing.value_before,
        differing.value_after,
        coalesce(
            nullif(
                concat_ws(
                    '; ',
                    edited.reason,
                    case
                        when edited.reason is null and totals.first_month is null
                            then 'lots or prices, while all totals of points stay: '
                        else ''
                    end || rows_moved.reason
                ), ''
            ),
            'no row up to this month: formulas (an upgrade), or rows of later months'
        )
    from differing
    cross join (
        select
            case
                when horizons.parameters <> newest.parameters then 'parameters edited'
            end as reason
        from refresh.present as newest
        left join refresh.horizons on true
    ) as edited
    -- Where only money changed, rows did not give or take other points: the ledger may have allocated them anew.
    left join lateral (
        select min(moved_totals.month) as first_month
        from differing as moved_totals
        where
            moved_totals.measure ~ '^points_'
            and moved_totals.value_before is not null
            and moved_totals.month <= differing.month
    ) as totals on true
    left join lateral (
        select
            string_agg(
                moved_rows.reason || ' rows of ' || to_char(moved_rows.month, 'YYYY-MM')
                || coalesce(' (' || restated.rows || ' since it was read)', ''),
                ', ' order by moved_rows.month, moved_rows.reason
            ) as reason
        from moved_rows
        left join restated
            on restated.month = moved_rows.month and restated.reason = moved_rows.reason
        where moved_rows.month <= differing.month
    ) as rows_moved on true
    where
        differing.value_before is not null
        and differing.measure ~ '^(points|value)_'
),

forgotten as (
    delete from refresh.answers
    using differing
    where
        answers.month = differing.month
        and answers.measure = differing.measure
        and differing.value_after is null
)

insert into refresh.answers as answers (month, measure, value)
select
    month,
    measure,
    value_after
from differing
where value_after is not null
on conflict (month, measure) do update set value = excluded.value;
