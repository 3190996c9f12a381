-- refresh.days: the days that a refresh computes

-- name: scope_days
-- purpose: add some days to the scope of a refresh
-- parameters: days
insert into refresh.days (day)
select unnest(%(days)s::date[]);

-- name: scope_every_day
-- purpose: add every day with an operation to the scope of a refresh
-- All days from the first to the last, as no mart that lists the days may exist yet.
insert into refresh.days (day)
select series::date
from sync.row_days
cross join
    generate_series(
        row_days.first_day::timestamp,
        greatest(row_days.last_day, (select max(window_to) + 1 from sync.runs))::timestamp,
        interval '1 day'
    ) as series
where row_days.feed = 'operations'
on conflict do nothing;

-- name: clear_days
-- purpose: remove all days from the scope of a refresh
delete from refresh.days;
