-- question: which statuses do leads have, and what does the programme take them for?
-- grain: status name that a live lead of a plausible day has
-- formula: role is new or closed where mart.parameters lists the name in new_lead_statuses or
--   closed_lead_statuses, or where it is empty (new); null where neither list has it: such a lead was
--   taken up and is open. A name that should be in a list and is in none makes mart.leads_sla wrong.
create materialized view mart.dim_lead_statuses as
select
    mart.display_text(leads.status_name) as status_name,
    case
        when coalesce(leads.status_name, '') = '' then 'new'
        when leads.status_name = any(parameters.new_lead_statuses) then 'new'
        when leads.status_name = any(parameters.closed_lead_statuses) then 'closed'
    end as role,
    count(*) as leads,
    max(leads.lead_date) as last_day
from core.leads
cross join mart.parameters
where
    leads.deleted_at is null
    and leads.lead_date between mart.first_plausible_day() and mart.last_plausible_day()
group by leads.status_name, parameters.new_lead_statuses, parameters.closed_lead_statuses;

create unique index on mart.dim_lead_statuses (status_name);

comment on materialized view mart.dim_lead_statuses is 'statuses of leads, and what the programme takes them for. Grain: status name';
comment on column mart.dim_lead_statuses.status_name is 'the status, as mart.display_text shows it; null or empty when unknown';
comment on column mart.dim_lead_statuses.role is 'new, closed, or null: in neither list of mart.parameters';
comment on column mart.dim_lead_statuses.leads is 'leads that have it now';
comment on column mart.dim_lead_statuses.last_day is 'newest business day on which one of these was made';
