{# Made by `lcm dbt`: metrics need a model. #}
select * from {{ source('mart', 'favourite_goods_monthly') }}
