-- question: which point value, breakage and SLA hours hold on a day?
-- grain: period in which they hold
-- formula: mart.parameters from its valid_from on, and before it mart.parameter_history, each row up to
--   the next one. The first row holds for all days before it, too. A mart takes the values of the day
--   that a row is about: the day of a balance, the day on which a lead was made.
create or replace view mart.dated_parameters as
select
    case
        when lag(dated.valid_from) over in_order is null then '0001-01-01'
        else dated.valid_from
    end as first_day,
    coalesce(lead(dated.valid_from) over in_order - 1, '9999-12-31') as last_day,
    dated.point_value,
    dated.expected_breakage,
    dated.sla_hours,
    dated.closing_sla_hours
from (
    select
        valid_from,
        point_value,
        expected_breakage,
        sla_hours,
        closing_sla_hours
    from mart.parameters
    union all
    select
        history.valid_from,
        history.point_value,
        history.expected_breakage,
        history.sla_hours,
        history.closing_sla_hours
    from mart.parameter_history as history
    inner join mart.parameters on history.valid_from < parameters.valid_from
) as dated
window in_order as (order by dated.valid_from);

comment on view mart.dated_parameters is 'the parameters that hold from a date on, each with its days. Grain: period';
comment on column mart.dated_parameters.first_day is 'first business day; 0001-01-01: since ever';
comment on column mart.dated_parameters.last_day is 'last business day; 9999-12-31: up to now';
comment on column mart.dated_parameters.point_value is 'what one point is worth, in money';
comment on column mart.dated_parameters.expected_breakage is 'share of outstanding points that is expected never to be redeemed; mart.source_breakage says otherwise of some bonus sources';
comment on column mart.dated_parameters.sla_hours is 'hours in which a lead has to leave the new statuses';
comment on column mart.dated_parameters.closing_sla_hours is 'hours in which a lead has to be closed';

create or replace view refresh.source_breakage as
select
    bonus_source,
    valid_from as first_day,
    coalesce(
        lead(valid_from) over (partition by bonus_source order by valid_from) - 1, '9999-12-31'
    ) as last_day,
    expected_breakage
from mart.source_breakage;
comment on view refresh.source_breakage is 'mart.source_breakage with the days on which each row holds. Grain: bonus source, period';
