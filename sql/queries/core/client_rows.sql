-- the rows of one client in all schemas: where they are, and what they hold

-- name: client_columns
-- purpose: the tables with a column for the client, and that column; without partitions
-- parameters: facts (schema.table of the tables that the code knows)
-- Those of an expired month that could not be dropped yet are listed, as their table does not show them.
-- A standby has no rows of unlogged tables, and does not let them be read.
with found as (
    select
        pg_class.oid,
        pg_class.relnamespace,
        pg_namespace.nspname as schema_name,
        pg_class.relname as table_name,
        pg_attribute.attname as column_name,
        pg_class.relkind,
        months.parent_oid as expired_of
    from pg_attribute
    inner join pg_class on pg_class.oid = pg_attribute.attrelid
    inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
    left join sync.month_partitions as months on months.month_oid = pg_class.oid
    where
        pg_attribute.attname in ('client_id', 'current_client_id')
        and not pg_attribute.attisdropped
        and pg_class.relkind in ('r', 'p', 'm')
        and pg_class.relispopulated
        and not (pg_class.relpersistence = 'u' and pg_is_in_recovery())
        and (
            not pg_class.relispartition
            or exists (
                select from pg_inherits
                where pg_inherits.inhrelid = pg_class.oid and pg_inherits.inhdetachpending
            )
        )
        and pg_namespace.nspname
        in ('core', 'history', 'mart', 'refresh', 'sync', 'staging', 'outbox')
),

owned as (
    select
        found.*,
        case
            when found.schema_name in ('refresh', 'sync', 'staging') then true
            when found.schema_name = 'mart'
                then found.table_name in (select lcm_marts.name from public.lcm_marts)
            else
                found.expired_of is not null
                or found.schema_name || '.' || found.table_name = any(%(facts)s)
        end as is_of_warehouse
    from found
)

select
    schema_name,
    table_name,
    column_name,
    coalesce(
        obj_description(oid, 'pg_class'), obj_description(expired_of, 'pg_class'), ''
    ) as description,
    expired_of is not null as is_expired,
    is_of_warehouse,
    relkind = 'm' and is_of_warehouse as is_refreshed,
    has_schema_privilege(relnamespace, 'usage')
    and case
        when is_of_warehouse then has_table_privilege(oid, 'select')
        else has_column_privilege(oid, column_name, 'select')
    end as is_readable
from owned
order by 1, 2, 3;

-- name: described_tables
-- purpose: the comments of some tables, and whether the user may read them
-- parameters: tables (schema.table)
select
    pg_namespace.nspname || '.' || pg_class.relname as table_name,
    coalesce(obj_description(pg_class.oid, 'pg_class'), '') as description,
    has_schema_privilege(pg_namespace.oid, 'usage')
    and has_table_privilege(pg_class.oid, 'select') as is_readable
from pg_class
inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
where pg_namespace.nspname || '.' || pg_class.relname = any(%(tables)s);

-- name: has_client
-- purpose: whether a table has a row of a client
-- parameters: client_id; {table} and {client_column} say where
select exists (select from {table} where {client_column} = %(client_id)s) as is_known;

-- name: other_has_client
-- purpose: whether a table of somebody else has a row of a client; its column may have any type
-- parameters: client_id; {table} and {client_column} say where
select exists (
    select from {table} where {client_column}::text = %(client_id)s::text
) as is_listed;

-- name: disclosed_rows
-- purpose: the rows of a client in a table, each as JSON: times with offset, bytes in hexadecimal
-- parameters: client_id; {table} and {client_columns} say where
select row_to_json(stored.*)::text collate "C" as disclosed
from {table} as stored
where %(client_id)s in ({client_columns})
order by disclosed;

-- name: pattern_of_numbers
-- purpose: a pattern for the cards and phones of a client in texts; null without any
-- parameters: client_id
-- Not for those that belong to another client now. Numbers of less than seven digits could be anything.
with numbers as (
    select card_number as number from core.registrations
    where client_id = %(client_id)s
    union
    select out_number from core.registrations
    where client_id = %(client_id)s
    union
    select card_number from core.cards
    where client_id = %(client_id)s
    union
    select out_number from core.cards
    where client_id = %(client_id)s
    union
    select phone from core.clients
    where client_id = %(client_id)s
    union
    select phone from history.clients
    where client_id = %(client_id)s
)

select '\m[78]?(' || string_agg(number::text, '|') || ')\M' as pattern
from numbers
where
    number >= 1000000
    and not exists (
        select from core.cards as present
        where
            present.client_id <> %(client_id)s
            and numbers.number in (present.card_number, present.out_number)
    );
