-- refresh.marts: which state of the warehouse each mart shows, and the columns of a mart

-- name: invalidate_refreshes
-- purpose: invalidate the digests of some marts, so that the next refresh computes them
-- parameters: names
update refresh.marts
set signature = 'forgotten'
where name = any(%(names)s);

-- name: invalidate_all_refreshes
-- purpose: invalidate the digests of all marts, so that the next refresh computes them
update refresh.marts
set signature = 'forgotten';

-- name: record_refreshes
-- purpose: record which state of the warehouse some marts show, and when they were refreshed
-- parameters: names, signatures
insert into refresh.marts (name, signature, refreshed_at, operations_day)
select
    refreshed.name,
    refreshed.signature,
    now(),
    as_of.operations_day
from unnest(%(names)s::text[], %(signatures)s::text[]) as refreshed (name, signature)
cross join mart.as_of
on conflict (name) do update set
    signature = excluded.signature,
    refreshed_at = excluded.refreshed_at,
    operations_day = excluded.operations_day;

-- name: refreshed_marts
-- purpose: which state of the warehouse each mart shows; none if a restore could not compute it
select
    marts.name,
    marts.signature
from refresh.marts
left join pg_matviews as views on marts.name = views.matviewname and views.schemaname = 'mart'
where views.ispopulated is not false;

-- name: refresh_mart
-- purpose: compute a materialized view, which the user need not own
-- parameters: mart_name, is_concurrent
select sync.refresh_mart(%(mart_name)s, %(is_concurrent)s);

-- name: was_refreshed
-- purpose: whether a materialized view was refreshed before, and has rows to compare with
-- parameters: name
select exists (
    select
    from refresh.marts
    inner join pg_matviews as views on marts.name = views.matviewname and views.schemaname = 'mart'
    where marts.name = %(name)s and views.ispopulated
) as was_refreshed;

-- name: states_of_sources
-- purpose: what the marts are made of, as text; while it is the same, they are up to date
-- A row for each feed, for each table of names, and one without a source: what all marts share. Facts change
-- only with published runs. A run may be published after a newer one, which their number shows, and old
-- ones may be deleted at the same time, which the newest shows.
select
    feeds.feed as source,
    concat_ws(
        '|',
        (
            select concat(count(*), ':', max(runs.run_id))
            from sync.runs
            where
                runs.feed = feeds.feed
                and runs.status = 'published'
                and runs.rows_written + runs.rows_deleted > 0
        ),
        (
            select string_agg(readings::text, ',' order by readings.first_day)
            from mart.readings
            where readings.feed = feeds.feed
        ),
        case feeds.feed when 'operations' then as_of.operations_loaded_day end
    ) as state
from sync.feeds
cross join mart.as_of
union all
select
    'points_of_sale' as source,
    max(synced_at)::text as state
from core.points_of_sale
union all
select
    'bonus_sources' as source,
    max(synced_at)::text as state
from core.bonus_sources
union all
select
    'goods' as source,
    max(synced_at)::text as state
from core.goods
union all
select
    '' as source,
    concat_ws(
        '|',
        (select parameters from refresh.present),
        (
            select string_agg(rfm_segments::text, ',' order by priority)
            from mart.rfm_segments
        )
    ) as state;

-- name: columns_of_mart
-- purpose: the columns of a mart, in order, with their types
-- parameters: mart (name with its schema)
select
    attname,
    format_type(atttypid, atttypmod) as type
from pg_attribute
where attrelid = %(mart)s::regclass and attnum > 0 and not attisdropped
order by attnum;

-- name: columns_read
-- purpose: the columns of a mart that the formula of another one reads, and whether they are days
-- parameters: reader, mart (names with their schemas)
select
    pg_attribute.attname,
    pg_attribute.atttypid = 'date'::regtype as is_date
from pg_rewrite
inner join pg_depend
    on pg_depend.classid = 'pg_rewrite'::regclass and pg_depend.objid = pg_rewrite.oid
inner join pg_attribute
    on
        pg_attribute.attrelid = pg_depend.refobjid
        and pg_attribute.attnum = pg_depend.refobjsubid
where
    pg_rewrite.ev_class = %(reader)s::regclass
    and pg_depend.refclassid = 'pg_class'::regclass
    and pg_depend.refobjid = %(mart)s::regclass
    and pg_depend.refobjsubid > 0
group by pg_attribute.attname, pg_attribute.atttypid;

-- name: indexed_columns
-- purpose: the columns of a mart that an index has, or names in its condition
-- parameters: mart (name with its schema)
select attname
from pg_attribute
where
    attrelid = %(mart)s::regclass
    and attnum in (
        select unnest(indkey) from pg_index
        where indrelid = %(mart)s::regclass
        union
        select depended.refobjsubid
        from pg_index
        inner join pg_depend as depended
            on depended.classid = 'pg_class'::regclass and depended.objid = pg_index.indexrelid
        where
            pg_index.indrelid = %(mart)s::regclass
            and depended.refclassid = 'pg_class'::regclass
            and depended.refobjid = pg_index.indrelid
    )
order by attnum;
