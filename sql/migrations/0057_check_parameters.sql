-- purpose: refuse values of parameters that make every number of the marts meaningless, or a refresh fail

-- NaN is greater than all numbers, so `>= 0` accepts it. Not valid: what a warehouse has already is not in the way
-- of its upgrade, and is checked with the next edit of its row.
alter table mart.parameters
    add constraint point_value_is_a_number check (point_value <> 'NaN') not valid,
    add constraint residual_limit_is_a_number check (residual_limit <> 'NaN') not valid,
    add constraint rfm_breaks_are_numbers check (array_position(rfm_breaks, 'NaN') is null) not valid,
    add constraint valid_from_is_a_day check (isfinite(valid_from)) not valid;
alter table mart.parameter_history
    add constraint point_value_is_a_number check (point_value <> 'NaN') not valid,
    add constraint valid_from_is_a_day check (isfinite(valid_from)) not valid;
alter table mart.source_breakage
    add constraint valid_from_is_a_day check (isfinite(valid_from)) not valid;

-- Without the row all marts would be empty.
create function mart.keep_parameters() returns trigger
language plpgsql
as $$
begin
    raise exception 'mart.parameters has one row, which cannot be deleted: edit it'
        using errcode = 'check_violation';
end;
$$;
comment on function mart.keep_parameters() is 'refuses to delete the row of mart.parameters';
create trigger keep_parameters
before delete on mart.parameters
for each row execute function mart.keep_parameters();
