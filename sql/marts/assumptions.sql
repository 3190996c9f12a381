-- question: which parameters do the numbers rest on, and which of them did nobody confirm?
-- grain: parameter
-- formula: the parameters of mart.parameters that a programme has to set for itself. Those with a date
--   are shown as they hold on the last day of operations (of leads): an edit for a later day changes no
--   number yet. is_default: the value is the one that is shipped, the default of its column there, and
--   mart.parameters.confirmed does not name it.
create or replace view mart.assumptions as
with shipped (parameter, area, value) as (
    values
    ('point_value', 'points', '1'),
    ('expected_breakage', 'points', '0.2'),
    ('sla_hours', 'leads', '24'),
    ('closing_sla_hours', 'leads', '72'),
    ('new_lead_statuses', 'leads', 'Новое'),
    ('closed_lead_statuses', 'leads', 'Решено, Закрыто'),
    ('rfm_days', 'customers', '365'),
    ('lapse_days', 'customers', '90'),
    ('first_purchase_days', 'customers', '30')
),

current_values as (
    select
        each.parameter,
        each.value
    from mart.parameters
    cross join mart.as_of
    inner join mart.dated_parameters as of_points
        on
            coalesce(as_of.operations_day, current_date)
            between of_points.first_day and of_points.last_day
    inner join mart.dated_parameters as of_leads
        on
            coalesce(as_of.leads_day, current_date)
            between of_leads.first_day and of_leads.last_day
    cross join
        lateral (
            values
            ('point_value', trim_scale(of_points.point_value)::text),
            ('expected_breakage', trim_scale(of_points.expected_breakage)::text),
            ('sla_hours', of_leads.sla_hours::text),
            ('closing_sla_hours', of_leads.closing_sla_hours::text),
            ('new_lead_statuses', array_to_string(parameters.new_lead_statuses, ', ')),
            ('closed_lead_statuses', array_to_string(parameters.closed_lead_statuses, ', ')),
            ('rfm_days', parameters.rfm_days::text),
            ('lapse_days', parameters.lapse_days::text),
            ('first_purchase_days', parameters.first_purchase_days::text)
        ) as each (parameter, value)
)

select
    shipped.parameter,
    shipped.area,
    current_values.value as current_value,
    (
        current_values.value = shipped.value and not shipped.parameter = any(parameters.confirmed)
    ) as is_default
from shipped
inner join current_values on current_values.parameter = shipped.parameter
cross join mart.parameters;

comment on view mart.assumptions is 'which parameters the numbers rest on, and which of them nobody confirmed. Grain: parameter';
comment on column mart.assumptions.parameter is 'column of mart.parameters';
comment on column mart.assumptions.area is 'what rests on it: points, leads or customers';
comment on column mart.assumptions.current_value is 'its value on the last day known, as a text';
comment on column mart.assumptions.is_default is 'the value is the one that is shipped: nobody has said that it is the programme''s';
