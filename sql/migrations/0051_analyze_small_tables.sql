-- purpose: let the planner know of small tables that autovacuum never comes to

-- Postgres takes a table that was never analyzed for one of ten pages, and autovacuum analyzes it after
-- fifty changes: views that join mart.parameters, sync.feeds and sync.runs seemed to have millions of
-- rows, so that sessions with JIT compilation, the default, compiled them for twenty seconds.
do $$
declare
    small regclass;
begin
    for small in
        select pg_class.oid
        from pg_class
        where
            pg_class.relkind = 'r'
            and pg_class.reltuples < 0
            and pg_class.relnamespace in ('sync'::regnamespace, 'mart'::regnamespace, 'core'::regnamespace)
            and not pg_class.relispartition
    loop
        execute format('analyze %s', small);
    end loop;
end;
$$;
