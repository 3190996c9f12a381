-- question: which reading shows each past business day?
-- grain: feed x day
-- formula: the days of mart.readings, one by one. A join on a range of days would compare each day with
--   each reading, and after years of daily syncs both are thousands.
create or replace view mart.readings_by_day as
-- Materialized: Postgres would join rows with all readings of their feed first, and only then with the day.
with days as materialized (
    select
        readings.feed,
        series.at::date as day,
        readings.last_day as observed_date,
        readings.known_at
    from mart.readings
    cross join
        generate_series(
            readings.first_day::timestamp, readings.last_day::timestamp, interval '1 day'
        ) as series (at)
)

select
    feed,
    day,
    observed_date,
    known_at
from days;

comment on view mart.readings_by_day is 'which reading shows each past business day. Grain: feed, day';
comment on column mart.readings_by_day.feed is 'the feed';
comment on column mart.readings_by_day.day is 'business day';
comment on column mart.readings_by_day.observed_date is 'last business day of the reading: the day itself, if it was read on its own';
comment on column mart.readings_by_day.known_at is 'when the reading ended, and all of it was published';
