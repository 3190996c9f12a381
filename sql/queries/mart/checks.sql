-- mart.*: inconsistencies and doubtful figures in the marts

-- name: mart_checks
-- purpose: of each check of the marts, how much it found and what it says
with conventions as (
    select
        convention,
        source,
        used,
        coalesce(evidence, 'the rows were not looked at yet') as evidence,
        case source
            when 'parameter' then ' (mart.parameters.' || parameter || ')'
            when 'detected' then ' (detected)'
            else ' (the default, as the rows do not show it)'
        end as reason
    from mart.conventions
),

-- Both checks of accounts in one pass over the movements.
accounts as (
    select
        count(*) filter (where sums.points < 0) as negative,
        count(*) filter (where sums.points_without_lot <> 0) as without_lots
    from (
        select
            client_id,
            sum(points) as points,
            sum(points) filter (where lot_id is null) as points_without_lot
        from mart.points_movements
        group by client_id
    ) as sums
)

select
    'residual_is_small' as check_name,
    count(*) filter (where months.residual_share > parameters.residual_limit) as found,
    'months whose residual is above ' || round(100 * parameters.residual_limit, 2)
    || ' % of the points given, the largest share is '
    || coalesce(round(100 * max(months.residual_share), 2), 0) || ' %' as description
from mart.parameters
left join lateral (
    select abs(residual) / nullif(greatest(added, opening), 0) as residual_share
    from mart.points_bridge_monthly
    where residual <> 0
) as months on true
group by parameters.residual_limit
union all
-- A closing sums up rows that are rounded to cents each, half a cent off at most; so does the opening.
select
    'rollforward_adds_up' as check_name,
    count(*) filter (where abs(rounding) > rounded_rows * 0.005 + 0.05) as found,
    'months whose roll-forward in money is off by more than cents, the most is '
    || coalesce(max(abs(rounding)), 0) as description
from (
    select
        months.rounding,
        (
            select count(*)
            from mart.points_liability_daily as liability
            where liability.day in (months.month - 1, months.last_day)
        ) as rounded_rows
    from (
        select
            money.month,
            money.rounding,
            least((money.month + interval '1 month')::date - 1, as_of.operations_day) as last_day
        from mart.points_rollforward_monthly as money
        cross join mart.as_of
    ) as months
) as rolled
union all
select
    'closed_months_stay' as check_name,
    count(*) as found,
    case
        when count(*) = 0 then 'the newest refresh changed no month that had ended'
        else
            'figures that the newest refresh changed of months that had ended: '
            || string_agg(
                to_char(answers.month, 'YYYY-MM') || ' ' || answers.measure || ' '
                || answers.value_before || ' to ' || coalesce(answers.value_after::text, 'nothing')
                || ' (' || answers.reason || ')',
                ', ' order by answers.month, answers.measure
            ) filter (where answers.place <= 10)
            || case when count(*) > 10 then ' and more' else '' end
    end as description
from (
    select
        restated.*,
        row_number() over (order by restated.month, restated.measure) as place
    from mart.restated_answers as restated
    inner join refresh.marts
        on marts.name = 'points_bridge_monthly' and marts.refreshed_at = restated.restated_at
) as answers
union all
select
    'no_negative_balances' as check_name,
    negative as found,
    'clients whose points sum up to less than nothing' as description
from accounts
union all
select
    'points_have_lots' as check_name,
    without_lots as found,
    'clients with points that are on no lot' as description
from accounts
union all
select
    'no_doubtful_refunds' as check_name,
    (select count(*) from mart.cheques where is_doubtful) as found,
    conventions.evidence || '; taken for a ' || conventions.used || conventions.reason
        as description
from conventions
where conventions.convention = 'negative_amounts'
union all
select
    'spending_order_is_known' as check_name,
    (conventions.source = 'default')::integer as found,
    conventions.evidence || '; ' || conventions.used || ' is taken' || conventions.reason
        as description
from conventions
where conventions.convention = 'spending_order'
union all
select
    'burns_are_known' as check_name,
    (
        select count(*)
        from core.operations
        cross join mart.parameters
        cross join mart.as_of
        where
            operations.bonus_source = parameters.burnt_bonus_source
            and operations.remain > 0
            and operations.deleted_at is null
            and operations.operation_date
            between as_of.operations_day - 91 and as_of.operations_day
    ) as found,
    conventions.evidence || '; all are taken for expiry (burnt_bonus_source)' as description
from conventions
where conventions.convention = 'burns'
union all
-- The figures of the next ones are of the last 92 days.
select
    'cheque_points_are_known' as check_name,
    0 as found,
    conventions.evidence || '; what cheques alone tell is '
    || case conventions.used when 'given' then 'given' else 'left out' end
    || conventions.reason || '. Of ' || coalesce(sum(lots.added), 0)
    || ' points given lately, '
    || coalesce(sum(lots.added) filter (where lots.is_told_by_cheque), 0)
    || ' are told by cheques alone' as description
from conventions
cross join mart.as_of
left join mart.lots on lots.issue_date between as_of.operations_day - 91 and as_of.operations_day
where conventions.convention = 'cheque_points'
group by conventions.evidence, conventions.used, conventions.reason
union all
select
    'refund_points_are_known' as check_name,
    count(*) filter (where cheques.parent_id is null and cheques.cheque_id is not null) as found,
    points.evidence || '. ' || redemptions.evidence || '. Redeemed of a refund is '
    || case redemptions.used when 'given_back' then 'given back' else 'left out' end
    || redemptions.reason || '. ' || silent.evidence || '. Points of silent refunds are '
    || case silent.used
        when 'given_back' then 'given back' when 'kept' then 'not given back'
        else 'given back where the lots of a client show it'
    end
    || silent.reason || '. Refunds of an unknown purchase: '
    || count(*) filter (where cheques.parent_id is null and cheques.cheque_id is not null)
        as description
from conventions as points
inner join conventions as redemptions on redemptions.convention = 'refund_redemptions'
inner join conventions as silent on silent.convention = 'silent_refunds'
cross join mart.as_of
left join mart.cheques
    on
        cheques.is_refund
        and cheques.day between as_of.operations_day - 91 and as_of.operations_day
where points.convention = 'refund_points'
group by
    points.evidence,
    redemptions.evidence,
    redemptions.used,
    redemptions.reason,
    silent.evidence,
    silent.used,
    silent.reason
union all
select
    'bonus_redemptions_are_known' as check_name,
    0 as found,
    conventions.evidence || '. Where no cheque tells them, those of bonus rows are '
    || case conventions.used when 'redeemed' then 'redemptions' else 'left out' end
    || conventions.reason || '. Such rows lately: ' || count(operations.operation_id)
        as description
from conventions
cross join mart.parameters
cross join mart.as_of
left join core.operations
    on
        operations.bonus_id <> 0
        and operations.redeemed <> 0
        and operations.bonus_source is distinct from parameters.burnt_bonus_source
        and operations.deleted_at is null
        and operations.operation_date
        between as_of.operations_day - 91 and as_of.operations_day
where conventions.convention = 'bonus_redemptions'
group by conventions.evidence, conventions.used, conventions.reason
union all
select
    'lead_statuses_are_mapped' as check_name,
    (
        count(*) > 0
        and not (
            coalesce(bool_or(seen.status_name = any(parameters.new_lead_statuses)), false)
            and coalesce(bool_or(seen.status_name = any(parameters.closed_lead_statuses)), false)
        )
    )::integer as found,
    'statuses of leads that are in neither list of mart.parameters: ' || coalesce(
        string_agg(mart.display_text(seen.status_name), ', ' order by seen.status_name) filter (
            where
            seen.status_name <> all(parameters.new_lead_statuses)
            and seen.status_name <> all(parameters.closed_lead_statuses)
        ), 'none'
    ) as description
from mart.parameters
left join (
    select distinct status_name
    from core.leads
    where deleted_at is null and status_name <> ''
) as seen on true
union all
select
    'parameters_are_heeded' as check_name,
    count(*) as found,
    'rows of parameters that change no figure: '
    || coalesce(string_agg(ignored.row_name, ', ' order by ignored.row_name), 'none')
        as description
from (
    -- Stored by a version that did not refuse them.
    select 'mart.parameter_history from ' || history.valid_from || ' on' as row_name
    from mart.parameter_history as history
    inner join mart.parameters on history.valid_from >= parameters.valid_from
    union all
    -- One that is yet to begin may be of a bonus source that is yet to come.
    select
        'mart.source_breakage of source ' || own.bonus_source || ', which no row has, from '
        || own.valid_from || ' on'
    from mart.source_breakage as own
    inner join mart.as_of on own.valid_from <= as_of.operations_day
    where own.bonus_source not in (select bonus_source from mart.dim_bonus_sources)
    union all
    select
        'mart.parameters.confirmed names ' || names.parameter
        || ', which mart.assumptions does not list'
    from mart.parameters
    cross join lateral unnest(parameters.confirmed) as names (parameter)
    where names.parameter not in (select assumptions.parameter from mart.assumptions)
) as ignored;
