{# Made by `lcm dbt`: metrics need a model. #}
select * from {{ source('mart', 'points_rollforward_monthly') }}
