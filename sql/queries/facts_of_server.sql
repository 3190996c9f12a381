-- purpose: what lcm doctor says of the server; needs no right but to connect
-- parameters: none
select
    quote_ident(current_user) as user_name,
    pg_is_in_recovery() as is_standby,
    clock_timestamp() as clock,
    case
        when has_database_privilege(current_database(), 'connect')
            then pg_database_size(current_database())
    end as size,
    coalesce(
        (
            select
                has_schema_privilege(pg_class.relnamespace, 'usage')
                and has_table_privilege(pg_class.oid, 'select')
            from pg_class
            inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
            where pg_namespace.nspname = 'mart' and pg_class.relname = 'parameters'
        ),
        false
    ) as has_parameters;
