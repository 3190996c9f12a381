{# Made by `lcm dbt`: metrics need a model. #}
select * from {{ source('mart', 'data_completeness') }}
