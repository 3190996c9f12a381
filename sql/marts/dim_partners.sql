-- question: which partners are there?
-- grain: partner (by its name: the source has no ids)
-- formula: partners of mart.store_daily, as mart.display_text shows them. Rows that name none are here
--   as null, and empty as empty, as in the marts.
create or replace view mart.dim_partners as
select
    partner_name,
    count(distinct pos_id) as stores,
    min(day) as first_day,
    max(day) as last_day
from mart.store_daily
group by partner_name;

comment on view mart.dim_partners is 'partners. Grain: partner';
comment on column mart.dim_partners.partner_name is 'the partner, as in the marts; null or empty when unknown';
comment on column mart.dim_partners.stores is 'its stores';
comment on column mart.dim_partners.first_day is 'first day with a cheque or a lot';
comment on column mart.dim_partners.last_day is 'last day with a cheque or a lot';
