{# Made by `lcm dbt`: metrics need a model. #}
select * from {{ source('mart', 'enrolment_daily') }}
