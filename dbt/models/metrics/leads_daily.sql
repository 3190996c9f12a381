{# Made by `lcm dbt`: metrics need a model. #}
select * from {{ source('mart', 'leads_daily') }}
