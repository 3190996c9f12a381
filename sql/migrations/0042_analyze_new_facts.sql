-- purpose: let a publish analyze the tables of core that it has filled, so that the marts are planned well

create or replace function sync.analyze_table(target regclass, column_names text[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    columns text := (select '(' || string_agg(quote_ident(name), ', ') || ')' from unnest(column_names) as listed (name));
    options text := '';
    home regnamespace := (select relnamespace from pg_class where oid = target);
begin
    if home = 'core'::regnamespace then
        -- Others vacuum these tables too, for hours: a publish must not wait for that.
        options := '(skip_locked)';
    elsif
        home is distinct from 'mart'::regnamespace
        and home is distinct from 'refresh'::regnamespace
        and home is distinct from 'staging'::regnamespace
        and target <> 'sync.fetches'::regclass
    then
        raise exception '% is not analyzed by a sync', target using errcode = 'invalid_parameter_value';
    end if;
    execute format('analyze %s %s %s', options, target, columns);
end;
$$;
comment on function sync.analyze_table(regclass, text[]) is 'analyze a table of core, mart, refresh or staging, or the ledger; without columns all of them';
