-- refresh.horizons: through which days, and with which parameters, the tables of mart were computed

-- name: days_passed
-- purpose: the days that passed since the tables of mart were computed, and other changes
-- is_full: the parameters have changed, or days were taken back (of a run that was removed), so all
-- clients have to be computed again.
select
    (
        horizons.parameters is distinct from present.parameters
        or coalesce(
            present.through_day < horizons.through_day,
            (present.through_day is null) <> (horizons.through_day is null)
        )
    ) as is_full,
    (
        (horizons.through_day, horizons.newest_day)
        is distinct from (present.through_day, present.newest_day)
    ) as has_days,
    least(horizons.through_day, present.through_day) as after_day,
    greatest(horizons.newest_day, present.newest_day) as last_day,
    present.through_day,
    array(
        select names.key
        from jsonb_each_text(present.names) as names
        where names.value is distinct from horizons.names ->> names.key
    ) as renamed
from refresh.present
left join refresh.horizons on true;

-- name: finish_refresh
-- purpose: store through which days, and with which parameters, the tables of mart were computed
insert into refresh.horizons (through_day, newest_day, parameters, names)
select
    through_day,
    newest_day,
    parameters,
    names
from refresh.present
on conflict (is_only) do update set
    through_day = excluded.through_day,
    newest_day = excluded.newest_day,
    parameters = excluded.parameters,
    names = excluded.names;

-- name: delete_horizons
-- purpose: make the next refresh compute everything, after a run that was published in batches
-- parameters: run_id
-- A refresh between two batches saw only a part of the rows, and days without a reading.
delete from refresh.horizons
using sync.runs
where runs.run_id = %(run_id)s and runs.publishing_since is not null;

-- name: delete_all_horizons
-- purpose: make the next refresh compute everything, after old months were removed
delete from refresh.horizons;

-- name: delete_passed_horizons
-- purpose: make the next refresh compute everything, if days passed since the last one
-- Tables that were just recreated show these days already, and the others do not.
delete from refresh.horizons
using refresh.present
where
    (horizons.through_day, horizons.newest_day)
    is distinct from (present.through_day, present.newest_day);
