-- question: in which units are the amounts of the marts?
-- grain: unit: money and points
-- formula: the source sends roubles and names no currency; what a point is worth on the last day of
--   operations is point_value.
create or replace view mart.dim_currency as
select
    'RUB' as currency_code,
    '₽' as symbol,
    'российский рубль' as name_ru,
    'Russian rouble' as name,
    2::smallint as decimal_digits,
    1::numeric(19, 4) as value_in_roubles
union all
select
    'PTS',
    'б.',
    'балл программы',
    'programme point',
    2::smallint,
    point_value
from mart.dated_parameters
inner join mart.as_of
    on
        coalesce(as_of.operations_day, current_date)
        between dated_parameters.first_day and dated_parameters.last_day;

comment on view mart.dim_currency is 'units of amounts. Grain: unit';
comment on column mart.dim_currency.currency_code is 'RUB (ISO 4217), or PTS for points';
comment on column mart.dim_currency.symbol is 'how it is written';
comment on column mart.dim_currency.name_ru is 'its name, Russian';
comment on column mart.dim_currency.name is 'its name, English';
comment on column mart.dim_currency.decimal_digits is 'digits after the point';
comment on column mart.dim_currency.value_in_roubles is 'what one of it is worth; of points, point_value on the last day of operations';
