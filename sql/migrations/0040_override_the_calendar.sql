-- purpose: days of the Russian working-day calendar that analysts correct by hand

-- Apart from mart.calendar_exceptions, which releases fill by decree: what is here is never touched.
create table mart.calendar_overrides (
    calendar_date date not null,
    is_working_day boolean not null,
    comment text,
    primary key (calendar_date)
);
comment on table mart.calendar_overrides is 'days of mart.dim_calendar that were corrected by hand; a row here wins over decrees and weekends, and no upgrade changes it. Grain: day';
comment on column mart.calendar_overrides.calendar_date is 'the day';
comment on column mart.calendar_overrides.is_working_day is 'whether it is worked';
comment on column mart.calendar_overrides.comment is 'why: the decree, or a rule of the company';

do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select, insert, update, delete on mart.calendar_overrides to lcm_loader;
    end if;
    if exists (select from pg_roles where rolname = 'lcm_analyst') then
        grant select on mart.calendar_overrides to lcm_analyst;
    end if;
    if exists (select from pg_roles where rolname = 'lcm_bi') then
        grant select on mart.calendar_overrides to lcm_bi;
    end if;
end;
$$;
