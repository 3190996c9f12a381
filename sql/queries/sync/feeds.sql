-- sync.feeds: the registry of feeds in SQL, and the views with a branch per feed

-- name: stored_feeds
-- purpose: the feeds of the warehouse, in order
select feed, position, main_table, is_by_day, has_marts
from sync.feeds
where to_regclass('sync.feed_versions') is not null
order by position;

-- name: clear_feeds
-- purpose: delete the feeds, before they are written again
delete from sync.feeds;

-- name: add_feed
-- purpose: insert one feed
-- parameters: feed, position, main_table, is_by_day, has_marts
insert into sync.feeds (feed, position, main_table, is_by_day, has_marts)
values (%(feed)s, %(position)s, %(main_table)s, %(is_by_day)s, %(has_marts)s);

-- name: make_feed_views
-- purpose: create the views that read the main table of each feed
-- Main tables are partitioned by business day. Each branch selects the day as a column, and row_days
-- uses subqueries, so that Postgres reads only the ends of an index, not the rows.
do $make$
declare
    days text;
    rows text;
    versions text;
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
                'select %1$L::text as feed, %3$I as day, first_seen_at, synced_at, deleted_at,'
                ' jsonb_build_array(%4$s) as key, to_jsonb(facts) as content'
                ' from core.%2$I as facts',
                feeds.feed, feeds.main_table, attributes.attname, keys.columns
            ),
            ' union all ' order by feeds.position
        ),
        string_agg(
            format(
                'select %1$L::text as feed, %3$I as day, valid_from, valid_to,'
                ' jsonb_build_array(%4$s) as key, to_jsonb(facts) as content'
                ' from history.%2$I as facts',
                feeds.feed, feeds.main_table, attributes.attname, keys.columns
            ),
            ' union all ' order by feeds.position
        ) filter (where to_regclass(format('history.%I', feeds.main_table)) is not null)
    into strict days, rows, versions
    from sync.feeds
    inner join pg_partitioned_table as partitioned
        on partitioned.partrelid = format('core.%I', feeds.main_table)::regclass
    inner join pg_attribute as attributes
        on
            attributes.attrelid = partitioned.partrelid
            and attributes.attnum = partitioned.partattrs[0]
    cross join lateral (
        select string_agg(quote_ident(named.attname), ', ' order by named.attname) as columns
        from pg_index
        inner join pg_attribute as named
            on named.attrelid = pg_index.indrelid and named.attnum = any(pg_index.indkey)
        where pg_index.indrelid = partitioned.partrelid and pg_index.indisprimary
    ) as keys;

    execute 'create or replace view sync.row_days as ' || days;
    execute 'create or replace view sync.feed_rows as ' || rows;
    execute 'create or replace view sync.feed_versions as ' || versions;

    comment on view sync.feed_rows is 'rows of the main tables of all feeds, those that the source has no longer among them. Grain: row';
    comment on column sync.feed_rows.feed is 'the feed';
    comment on column sync.feed_rows.day is 'business day of the row';
    comment on column sync.feed_rows.first_seen_at is 'when the row was first published';
    comment on column sync.feed_rows.synced_at is 'when this version was published';
    comment on column sync.feed_rows.deleted_at is 'when the source was found to have it no longer; null when it is live';
    comment on column sync.feed_rows.key is 'values of its primary key, by the names of the columns';
    comment on column sync.feed_rows.content is 'the row, with what the sync writes beside it';
    comment on view sync.feed_versions is 'earlier versions of the rows of the main tables, of those feeds that keep them. Grain: version';
    comment on column sync.feed_versions.feed is 'the feed';
    comment on column sync.feed_versions.day is 'business day of the row';
    comment on column sync.feed_versions.valid_from is 'since when the version stood in core';
    comment on column sync.feed_versions.valid_to is 'when it was replaced';
    comment on column sync.feed_versions.key is 'values of its primary key in core, by the names of the columns';
    comment on column sync.feed_versions.content is 'the version, with what the sync writes beside it';
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select on sync.feed_rows, sync.feed_versions to lcm_loader;
    end if;
end;
$make$;
