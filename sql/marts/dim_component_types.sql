-- question: which kinds of operations does the source send?
-- grain: component type
-- formula: the types that live rows of the last 92 days have, each with what they were seen to carry: the source has no
--   list of them. A kind of rows with bonus ids is a bonus, with their own cheque ids a cheque, with
--   order ids alone an order; else other.
create materialized view mart.dim_component_types as
with seen as (
    select
        component_type,
        sum(loaded_rows)::bigint as live_rows,
        sum(bonuses) as bonuses,
        sum(cheques) as cheques,
        sum(orders) as orders
    from mart.operations_daily
    where
        day > (select operations_day - 92 from mart.as_of)
        and day <= (select operations_day from mart.as_of)
    group by component_type
)

select
    component_type,
    case
        when bonuses > live_rows / 2 then 'bonus'
        when cheques > live_rows / 2 then 'cheque'
        when orders > live_rows / 2 then 'order'
        else 'other'
    end as kind,
    live_rows
from seen;

create unique index on mart.dim_component_types (component_type);

comment on materialized view mart.dim_component_types is 'kinds of operations. Grain: component type';
comment on column mart.dim_component_types.component_type is 'the component type, as in core.operations and mart.lots';
comment on column mart.dim_component_types.kind is 'bonus, cheque, order or other: what most of its rows carry';
comment on column mart.dim_component_types.live_rows is 'rows of these 92 days that the source has';
