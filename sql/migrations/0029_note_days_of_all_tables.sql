-- purpose: note the days on which a publish changed rows of any main table, not only operations
-- mart.restated_rows follows them; without these notes it would be computed whole at each refresh.

alter table refresh.changed_days add column table_name text not null default 'operations';
alter table refresh.changed_days alter column table_name drop default;
comment on column refresh.changed_days.table_name is 'table of core whose rows changed';
comment on table refresh.changed_days is 'days on which a publish changed rows since the marts were refreshed; one may be here twice. Grain: table, day';
