-- question: what are points given for?
-- grain: bonus source
-- formula: every bonus source that a lot or a name refers to, and those that mart.parameters gives a role.
create or replace view mart.dim_bonus_sources as
with ids as (
    select bonus_source from core.bonus_sources
    union
    select bonus_source from mart.earn_mix
    where bonus_source is not null
    union
    select purchase_bonus_source from mart.parameters
    union
    select burnt_bonus_source from mart.parameters
)

select
    ids.bonus_source,
    mart.display_text(bonus_sources.name) as bonus_source_name,
    ids.bonus_source = parameters.purchase_bonus_source as is_from_purchases,
    ids.bonus_source = parameters.burnt_bonus_source as is_burnt
from ids
cross join mart.parameters
left join core.bonus_sources on bonus_sources.bonus_source = ids.bonus_source;

comment on view mart.dim_bonus_sources is 'why points are given. Grain: bonus source';
comment on column mart.dim_bonus_sources.bonus_source is 'the bonus source, as in the marts';
comment on column mart.dim_bonus_sources.bonus_source_name is 'its newest name; null when none was sent';
comment on column mart.dim_bonus_sources.is_from_purchases is 'points for purchases (purchase_bonus_source)';
comment on column mart.dim_bonus_sources.is_burnt is 'rows of expired points (burnt_bonus_source)';
