-- purpose: a digest of all that the marts are computed from; as long as it stays, so do they
-- parameters: none
-- Facts change by published runs alone. Names and parameters change by themselves.
select
    md5(
        concat_ws(
            '|',
            (
                select string_agg(newest.feed || newest.run_id, ',' order by newest.feed)
                from (
                    select feed, max(run_id) as run_id
                    from sync.runs
                    where status = 'published' and rows_written + rows_deleted > 0
                    group by feed
                ) as newest
            ),
            (select string_agg(coalesce(run_id, 0)::text, ',' order by run_id) from mart.readings),
            (select as_of::text from mart.as_of),
            (select parameters::text from mart.parameters),
            (
                select string_agg(rfm_segments::text, ',' order by priority)
                from mart.rfm_segments
            ),
            (select max(synced_at) from core.points_of_sale),
            (select max(synced_at) from core.bonus_sources),
            (select max(synced_at) from core.goods)
        )
    ) as signature;
