-- purpose: say in one place what a monthly partition is; sync.remove_month drops no other table of such a name

create view sync.month_partitions as
select
    parents.oid as parent_oid,
    months.oid as month_oid,
    pg_namespace.nspname as schema_name,
    parents.relname as table_name,
    months.relname as month_table,
    pg_inherits.inhrelid is not null as is_attached,
    coalesce(pg_inherits.inhdetachpending, false) as is_detaching
from pg_class as parents
inner join pg_namespace on pg_namespace.oid = parents.relnamespace
inner join pg_class as months
    on
        months.relnamespace = parents.relnamespace
        and months.relkind = 'r'
        and months.relname ~ '_[0-9]{6}$'
        and left(months.relname, -7) = parents.relname
left join pg_inherits
    on pg_inherits.inhrelid = months.oid and pg_inherits.inhparent = parents.oid
where
    parents.relkind = 'p'
    and pg_namespace.nspname in ('core', 'history')
    and (
        pg_inherits.inhrelid is not null
        -- An interrupted removal leaves a table with the primary key and the columns of a month. A copy
        -- of a month that somebody made has no primary key.
        or (
            exists (select from pg_constraint where conrelid = months.oid and contype = 'p')
            and not exists (
                select wanted.attname, wanted.atttypid from pg_attribute as wanted
                where wanted.attrelid = parents.oid and wanted.attnum > 0 and not wanted.attisdropped
                except
                select present.attname, present.atttypid from pg_attribute as present
                where
                    present.attrelid = months.oid
                    and present.attnum > 0 and not present.attisdropped
            )
        )
    );
comment on view sync.month_partitions is
'the monthly partitions of core and history, and detached ones that an interrupted removal has left';
comment on column sync.month_partitions.parent_oid is 'oid of the partitioned table';
comment on column sync.month_partitions.month_oid is 'oid of the month';
comment on column sync.month_partitions.schema_name is 'core or history';
comment on column sync.month_partitions.table_name is 'name of the partitioned table';
comment on column sync.month_partitions.month_table is 'name of the month: the table, an underscore, year and month (YYYYMM)';
comment on column sync.month_partitions.is_attached is 'whether it is a partition now';
comment on column sync.month_partitions.is_detaching is 'whether a concurrent detachment was interrupted';

create or replace function sync.remove_month(schema_name text, table_name text, month_table text)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
-- While it waits, new readers of the whole table wait behind it.
set lock_timeout = '200ms'
as $$
declare
    month record;
begin
    select
        parent_oid::regclass as parent,
        month_oid::regclass as child,
        is_attached,
        is_detaching
    into month
    from sync.month_partitions as months
    where
        months.schema_name = remove_month.schema_name
        and months.table_name = remove_month.table_name
        and months.month_table = remove_month.month_table
        and to_date(right(months.month_table, 6), 'YYYYMM') + interval '1 month'
        <= (select retention.kept_from from sync.retention);
    if month.child is null then
        raise exception '%.% is not a month that is no longer held', schema_name, month_table
            using errcode = 'invalid_parameter_value';
    end if;
    if month.is_detaching then
        execute format('alter table %s detach partition %s finalize', month.parent, month.child);
    elsif month.is_attached then
        execute format('alter table %s detach partition %s', month.parent, month.child);
    end if;
    execute format('drop table %s', month.child);
end;
$$;
