-- purpose: put into the scope of a refresh every client whose lots, cheques or movements may differ
-- parameters: everyone (true: compute all anew)
-- A client is there when a publish changed its operations, when a lot of its reached the expiry day
-- since, or when what no row explains has to move on to the newest day; all are, when the parameters
-- are not those of the last time.
with noted as (
    delete from refresh.changed_clients returning client_id
),

present as (
    select
        as_of.operations_day as through_day,
        greatest(as_of.operations_day, (select max(operation_date) from core.operations))
            as newest_day,
        parameters::text as parameters
    from mart.as_of
    cross join mart.parameters
),

-- From here to there the days have come.
passed as (
    select
        least(horizons.through_day, present.through_day) as after_day,
        greatest(horizons.newest_day, present.newest_day) as last_day,
        (horizons.through_day, horizons.newest_day)
        is distinct from (present.through_day, present.newest_day) as has_moved,
        %(everyone)s or horizons.parameters is distinct from present.parameters as is_everyone
    from present
    left join refresh.horizons on true
)

insert into refresh.scope (client_id)
select client_id from noted
union
select lots.client_id
from mart.lots
where
    (select has_moved from passed)
    and lots.expiry_date > (select after_day from passed)
    and lots.expiry_date <= (select last_day from passed)
union
select movements.client_id
from mart.points_movements as movements
where (select has_moved from passed) and movements.kind = 'unexplained'
union
select everyone.client_id
from (
    select client_id from core.operations
    union all
    select client_id from mart.lots
    union all
    select client_id from mart.cheques
    union all
    select client_id from mart.points_movements
) as everyone
where (select is_everyone from passed);
