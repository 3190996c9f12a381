-- sync.feeds: the registry of feeds as SQL sees it, and the views with a branch for each of them

-- name: stored_feeds
-- purpose: the feeds of the warehouse, in their order
select feed, position, main_table, is_by_day, has_marts
from sync.feeds
where to_regclass('sync.feed_rows') is not null
order by position;

-- name: clear_feeds
-- purpose: forget the feeds, before they are written anew
delete from sync.feeds;

-- name: add_feed
-- purpose: write one feed
-- parameters: feed, position, main_table, is_by_day, has_marts
insert into sync.feeds (feed, position, main_table, is_by_day, has_marts)
values (%(feed)s, %(position)s, %(main_table)s, %(is_by_day)s, %(has_marts)s);

-- name: make_feed_views
-- purpose: make the views that read the main table of each feed
-- A main table is partitioned by its business day. The day is a column of its own in each branch, and
-- row_days has subqueries, so that Postgres reads the ends of an index and not the rows.
do $make$
declare
    days text;
    rows text;
begin
    select
        string_agg(
            format(
                'select %1$L::text as feed,'
                ' (select min(%3$I) from core.%2$I where %3$I >= mart.first_plausible_day()) as first_day,'
                ' (select max(%3$I) from core.%2$I where %3$I <= current_date + 366) as last_day',
                feeds.feed, feeds.main_table, attributes.attname
            ),
            ' union all ' order by feeds.position
        ),
        string_agg(
            format(
                'select %1$L::text as feed, %3$I as day, first_seen_at, synced_at, deleted_at'
                ' from core.%2$I',
                feeds.feed, feeds.main_table, attributes.attname
            ),
            ' union all ' order by feeds.position
        )
    into strict days, rows
    from sync.feeds
    inner join pg_partitioned_table as partitioned
        on partitioned.partrelid = format('core.%I', feeds.main_table)::regclass
    inner join pg_attribute as attributes
        on
            attributes.attrelid = partitioned.partrelid
            and attributes.attnum = partitioned.partattrs[0];

    execute 'create or replace view sync.row_days as ' || days;
    execute 'create or replace view sync.feed_rows as ' || rows;

    comment on view sync.feed_rows is 'rows of the main tables of all feeds, those that the source has no longer among them. Grain: row';
    comment on column sync.feed_rows.feed is 'the feed';
    comment on column sync.feed_rows.day is 'business day of the row';
    comment on column sync.feed_rows.first_seen_at is 'when the row was first published';
    comment on column sync.feed_rows.synced_at is 'when this version was published';
    comment on column sync.feed_rows.deleted_at is 'when the source was found to have it no longer; null when it is live';
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select on sync.feed_rows to lcm_loader;
    end if;
end;
$make$;
