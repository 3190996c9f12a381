-- purpose: what a refresh compares with the last time, beside days and parameters: the names shown
-- A mart that shows names of stores or of bonus sources is computed whole when one has changed.

alter table refresh.horizons add column names jsonb;
comment on column refresh.horizons.names is 'digests of the names of points_of_sale, bonus_sources and goods';
comment on table refresh.horizons is 'up to which days the marts stored as tables were computed, and by which parameters and names';
comment on table refresh.days is 'the days that a refresh computes of the mart at hand; empty outside of its transaction';

create table refresh.changed_days (
    day date not null
);
comment on table refresh.changed_days is 'days on which a publish changed operations since the marts were refreshed; one may be here twice';
comment on column refresh.changed_days.day is 'the business day';
do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant select, insert, update, delete on refresh.changed_days to lcm_loader;
    end if;
end;
$$;
-- A refresh looks up the earlier versions of a day's rows.
create index on history.operations (operation_date);

-- Views show the day that the stored rows were computed for: of a mart that is blocked, an earlier one.
alter table refresh.marts add column operations_day date;
comment on column refresh.marts.operations_day is 'last business day of operations that it was computed for';
comment on column refresh.marts.refreshed_at is 'when it was last found, or brought, up to date';

-- Rows are compared without what the sync writes beside them.
create function mart.content_of(version jsonb) returns jsonb
language sql immutable parallel safe
return version
- '{sync_run_id,first_seen_at,synced_at,deleted_at,valid_from,valid_to}'::text [];
comment on function mart.content_of(jsonb) is 'a row of core or history as the source sent it, without what the sync adds';
