-- question: when was each mart brought up to date?
-- grain: stored mart that was refreshed
-- formula: the start of the last refresh that found it, or brought it, up to date. Plain views are as
--   new as what they read.
create or replace view mart.refreshes as
select
    name as mart_name,
    refreshed_at
from refresh.marts;

comment on view mart.refreshes is 'when the stored marts were brought up to date. Grain: mart';
comment on column mart.refreshes.mart_name is 'the mart';
comment on column mart.refreshes.refreshed_at is 'when it was last found, or brought, up to date';
