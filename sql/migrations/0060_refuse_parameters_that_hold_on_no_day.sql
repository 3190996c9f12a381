-- purpose: refuse rows of mart.parameter_history that hold on no day, which were ignored in silence

-- The edit that files a row is seen by the check of that row: it has moved valid_from by then.
drop trigger file_parameters on mart.parameters;
create trigger file_parameters
after update on mart.parameters
for each row when (new.valid_from <> old.valid_from)
execute function mart.file_parameters();

create function mart.refuse_later_history() returns trigger
language plpgsql
as $$
declare
    now_from date := (select valid_from from mart.parameters);
begin
    if new.valid_from >= now_from then
        raise exception
            'mart.parameter_history has what held before %, the valid_from of mart.parameters: a row from % on holds on no day. Update mart.parameters with that valid_from instead',
            now_from, new.valid_from
            using errcode = 'check_violation';
    end if;
    return new;
end;
$$;
comment on function mart.refuse_later_history() is 'refuses rows of mart.parameter_history that do not begin before mart.parameters';
create trigger refuse_later_history
before insert or update on mart.parameter_history
for each row execute function mart.refuse_later_history();
