-- purpose: which days have come since the marts kept by client were computed
-- parameters: none
-- is_everyone: the parameters are not those of the last time, so everyone has to be computed anew.
with present as (
    select
        as_of.operations_day as through_day,
        as_of.operations_loaded_day as newest_day,
        parameters::text as parameters
    from mart.as_of
    cross join mart.parameters
)

select
    (horizons.parameters is distinct from present.parameters) as is_everyone,
    (
        (horizons.through_day, horizons.newest_day)
        is distinct from (present.through_day, present.newest_day)
    ) as has_moved,
    least(horizons.through_day, present.through_day) as after_day,
    greatest(horizons.newest_day, present.newest_day) as last_day
from present
left join refresh.horizons on true;
