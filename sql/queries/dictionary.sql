-- purpose: every column of the documented schemas, with the comments on it, its table, its schema
-- parameters: none
with described as (
    select
        namespaces.nspname as schema_name,
        obj_description(namespaces.oid, 'pg_namespace') as schema_comment,
        classes.relname as table_name,
        case classes.relkind
            when 'v' then 'view'
            when 'm' then 'materialized view'
            else 'table'
        end as kind,
        obj_description(classes.oid, 'pg_class') as table_comment,
        attributes.attname as column_name,
        format_type(attributes.atttypid, attributes.atttypmod) as column_type,
        col_description(classes.oid, attributes.attnum) as column_comment,
        attributes.attnum
    from pg_class as classes
    inner join pg_namespace as namespaces on namespaces.oid = classes.relnamespace
    inner join pg_attribute as attributes
        on
            attributes.attrelid = classes.oid
            and attributes.attnum > 0
            and not attributes.attisdropped
    where
        namespaces.nspname in ('core', 'history', 'mart', 'outbox', 'sync')
        and classes.relkind in ('r', 'p', 'v', 'm')
        and not classes.relispartition
)

select
    schema_name,
    coalesce(schema_comment, '') as schema_comment,
    table_name,
    kind,
    coalesce(table_comment, '') as table_comment,
    column_name,
    column_type,
    coalesce(column_comment, '') as column_comment
from described
order by schema_name, table_name, attnum;
