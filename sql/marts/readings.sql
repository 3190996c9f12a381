-- question: which reading shows how a past business day ended?
-- grain: feed x published run that carried the feed on to later days
-- formula: a run reads whole histories after the last day of its window has ended, so a day is shown
--   by the first published run whose window ends on it or later. Runs that repeat days that are
--   known already restate them; they are no reading of their own here. The first reading covers all
--   days since the roster or the rows begin, but none before mart.first_plausible_day(). Without
--   any run (a warehouse filled by hand) everything counts as read at once. Of a feed whose first load
--   is published in batches, nothing is shown before it ends.

-- Nearly every mart reads these days. Postgres would plan their look-ups in each month of each table again for
-- each statement; a function is planned once a session. Whoever may read the marts need not read sync.
create or replace function refresh.days_with_rows()
returns table (feed text, first_day date, last_day date)
language plpgsql stable parallel safe rows 4
security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select
        row_days.feed,
        row_days.first_day,
        row_days.last_day
    from sync.row_days;
end;
$$;

create or replace view mart.readings as
with feeds as (
    select
        feeds.feed,
        row_days.first_day as first_row,
        row_days.last_day as last_row,
        (select min(registration_date) from sync.registration_days) as first_roster_day
    from sync.feeds
    inner join refresh.days_with_rows() as row_days on row_days.feed = feeds.feed
),

published as (
    select
        feed,
        run_id,
        window_from,
        window_to,
        started_at,
        finished_at,
        max(window_to) over (
            partition by feed
            order by finished_at, run_id
            rows between unbounded preceding and 1 preceding
        ) as known_through
    from sync.runs
    where status = 'published'
)

select
    published.feed,
    coalesce(
        published.known_through + 1,
        greatest(
            least(published.window_from, feeds.first_row, feeds.first_roster_day),
            mart.first_plausible_day()
        )
    ) as first_day,
    published.window_to as last_day,
    published.started_at,
    published.finished_at as known_at,
    published.run_id
from published
inner join feeds on feeds.feed = published.feed
where published.known_through is null or published.window_to > published.known_through
union all
select
    feeds.feed,
    feeds.first_row as first_day,
    feeds.last_row as last_day,
    '-infinity'::timestamptz as started_at,
    '9999-12-31'::timestamptz as known_at,
    null as run_id
from feeds
where
    feeds.first_row is not null
    and not exists (select from published where published.feed = feeds.feed)
    and not exists (
        select from sync.runs
        where runs.feed = feeds.feed and runs.publishing_since is not null
    );

comment on view mart.readings is 'the published runs that carried a feed on to later days: which reading covers which past days. Grain: feed, run';
comment on column mart.readings.feed is 'the feed';
comment on column mart.readings.first_day is 'first business day that no earlier reading covers';
comment on column mart.readings.last_day is 'last business day of the run; it had ended before the reading began';
comment on column mart.readings.started_at is 'when the run began to read';
comment on column mart.readings.known_at is 'when the run ended, and all of it was published';
comment on column mart.readings.run_id is 'run of sync.runs; null in a warehouse that was filled without a run';
