-- purpose: marts that are kept by day or by month, beside those that are kept by client
-- A refresh finds the days on which a cheque differs from what it was, and computes these anew.

create unlogged table refresh.days (
    day date not null,
    primary key (day)
);
comment on table refresh.days is 'the days that have come, or whose cheques a refresh found to differ; empty outside of its transaction';
comment on column refresh.days.day is 'the business day';

create view refresh.months as
select distinct date_trunc('month', day::timestamp)::date as month
from refresh.days;
comment on view refresh.months is 'the months of these days';
comment on column refresh.months.month is 'first day of the month';

-- What vanished is little: a publish finds there whether a row of another client lives on with one.
create index operations_vanished on core.operations (component_type, operation_id)
where deleted_at is not null;

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select, insert, update, delete on refresh.days to lcm_loader;
        grant select on refresh.months to lcm_loader;
        if pg_has_role(current_user, 'lcm_loader', 'member') then
            alter table refresh.days owner to lcm_loader;
        end if;
    end if;
end;
$$;
