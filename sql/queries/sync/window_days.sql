-- sync.window_days: days whose window was published

-- name: publish_window_days
-- purpose: record that the days of a window were published; sync.day_completeness has their completeness
-- parameters: run_id, feed, first, last
insert into sync.window_days (feed, day, run_id, published_at)
select %(feed)s, series::date, %(run_id)s, now()
from generate_series(%(first)s::date, %(last)s::date, interval '1 day') as series
on conflict (feed, day) do update set
    run_id = excluded.run_id,
    published_at = excluded.published_at;

-- name: newest_day
-- purpose: the last day of a feed that was published; null before its first sync
-- parameters: feed
select max(day) as day
from sync.window_days
where feed = %(feed)s;
