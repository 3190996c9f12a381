select day from {{ source('mart', 'dim_calendar') }}
