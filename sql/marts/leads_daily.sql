-- question: what do clients write about, and how do they mark the answer?
-- grain: day of creation x type x source x form (null and empty stay as sent)
-- formula: live leads by their present state. A lead is unread when it has unread messages; marks are
--   counted by name, leads without a mark are not.
create materialized view mart.leads_daily as
with marks as (
    select
        lead_date,
        mart.display_text(type_name) as type_name,
        mart.display_text(source_name) as source_name,
        mart.display_text(form_name) as form_name,
        mart.display_text(nullif(mark_name, '')) as mark_name,
        count(*) as leads,
        count(*) filter (where unread_count > 0) as unread_leads,
        coalesce(sum(unread_count), 0) as unread_messages
    from core.leads
    where
        deleted_at is null
        and lead_date >= mart.first_plausible_day()
        and lead_date <= (select leads_day from mart.as_of)
    group by 1, 2, 3, 4, 5
)

select
    lead_date as day,
    type_name,
    source_name,
    form_name,
    sum(leads)::bigint as leads,
    sum(unread_leads)::bigint as unread_leads,
    sum(unread_messages)::bigint as unread_messages,
    coalesce(sum(leads) filter (where mark_name is not null), 0)::bigint as marked_leads,
    coalesce(
        jsonb_object_agg(mark_name, leads) filter (where mark_name is not null), '{}'
    ) as leads_by_mark
from marks
group by lead_date, type_name, source_name, form_name;

create unique index on mart.leads_daily (day, type_name, source_name, form_name);

comment on materialized view mart.leads_daily is 'leads by what they are about. Grain: day, type, source, form';
comment on column mart.leads_daily.day is 'business day of creation';
comment on column mart.leads_daily.type_name is 'type, as mart.display_text shows it';
comment on column mart.leads_daily.source_name is 'source, as mart.display_text shows it';
comment on column mart.leads_daily.form_name is 'form, as mart.display_text shows it';
comment on column mart.leads_daily.leads is 'leads';
comment on column mart.leads_daily.unread_leads is 'of them, with unread messages';
comment on column mart.leads_daily.unread_messages is 'unread messages';
comment on column mart.leads_daily.marked_leads is 'of them, with a mark';
comment on column mart.leads_daily.leads_by_mark is 'leads by mark, as {mark: count}';
