-- purpose: one definition of how many rows the source has, for `lcm status` and mart.data_completeness

create view sync.source_totals as
select
    feed,
    sum(source_total - expired) as rows
from sync.client_state
group by feed
union all
-- Registrations of erased persons are rows that the source has too, but no total of ours counts them.
-- They are those of negative numbers.
select
    feeds.feed,
    sum(registration_days.source_total) + (
        select count(*)
        from core.registrations
        where registrations.client_id < 0 and registrations.deleted_at is null
    ) as rows
from sync.feeds
cross join sync.registration_days
where feeds.is_by_day
group by feeds.feed;

comment on view sync.source_totals is 'rows that the source has by what was last proven, one row per feed. Rows of days that are not held any more are not counted';
comment on column sync.source_totals.feed is 'the feed';
comment on column sync.source_totals.rows is 'rows of its main table';
