-- question: through which business day is each feed known?
-- grain: one row
-- formula: the last day of the newest reading of the feed. Marts show no day beyond it: of today, a
--   reading brings a part. What is loaded of operations may go further: to the newest row that is
--   dated on the day after the newest reading at the latest. Operations before operations_kept_from
--   are not stored any more: marts show no zeros for those days.
create or replace view mart.as_of as
with newest as (
    select
        max(last_day) filter (where feed = 'registrations') as registrations_day,
        max(last_day) filter (where feed = 'operations') as operations_day,
        max(last_day) filter (where feed = 'leads') as leads_day,
        max(last_day) filter (where feed = 'favourites') as favourites_day,
        least(max(known_at) filter (where feed = 'operations'), now()) as operations_read_at
    from mart.readings
)

select
    newest.registrations_day,
    newest.operations_day,
    newest.leads_day,
    newest.favourites_day,
    greatest(
        newest.operations_day,
        (
            select max(operations.operation_date)
            from core.operations
            where
                operations.operation_date <= 1 + greatest(
                    newest.operations_day,
                    (newest.operations_read_at at time zone parameters.timezone)::date
                )
        )
    ) as operations_loaded_day,
    (select retention.kept_from from sync.retention) as operations_kept_from
from newest
cross join mart.parameters;

comment on view mart.as_of is 'the last business day that each feed covers; marts show no later one. Grain: one row';
comment on column mart.as_of.registrations_day is 'last day of the roster';
comment on column mart.as_of.operations_day is 'last day of operations';
comment on column mart.as_of.leads_day is 'last day of leads';
comment on column mart.as_of.favourites_day is 'last day of favourite products';
comment on column mart.as_of.operations_kept_from is 'first day of which operations are stored (LCM_RETENTION_MONTHS); null where all are';
comment on column mart.as_of.operations_loaded_day is 'last day of which operations are loaded: of days after operations_day, a part is';

-- What a refresh compares with the last one.
create or replace view refresh.present as
select
    as_of.operations_day as through_day,
    as_of.operations_loaded_day as newest_day,
    -- Without any run, all counts as read at once: see mart.readings.
    concat(
        parameters::text,
        exists (select from sync.runs where status = 'published'),
        (
            select string_agg(history::text, '' order by history.valid_from)
            from mart.parameter_history as history
        ),
        (
            select string_agg(sources::text, '' order by sources.bonus_source, sources.valid_from)
            from mart.source_breakage as sources
        )
    ) as parameters,
    jsonb_build_object(
        'points_of_sale',
        (
            select md5(string_agg(pos_id || '=' || coalesce(name, ''), ',' order by pos_id))
            from core.points_of_sale
        ),
        'bonus_sources',
        (
            select md5(
                string_agg(bonus_source || '=' || coalesce(name, ''), ',' order by bonus_source)
            )
            from core.bonus_sources
        ),
        'goods',
        (
            select md5(
                string_agg(
                    list_data_id || '=' || coalesce(code, '') || coalesce(name, ''), ','
                    order by list_data_id
                )
            )
            from core.goods
        )
    ) as names
from mart.as_of
cross join mart.parameters;
comment on view refresh.present is 'the days, parameters and names that a refresh computes with. Grain: one row';
