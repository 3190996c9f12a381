-- purpose: what the database itself says each column of a mart is
select
    pg_class.relname || '.' || pg_attribute.attname as name,
    col_description(pg_class.oid, pg_attribute.attnum) as definition
from pg_catalog.pg_class
inner join pg_catalog.pg_attribute
    on
        pg_attribute.attrelid = pg_class.oid
        and pg_attribute.attnum > 0
        and not pg_attribute.attisdropped
where pg_class.relnamespace = 'mart'::regnamespace
    and col_description(pg_class.oid, pg_attribute.attnum) is not null;
