-- question: which points did the programme show for a day, as known right after it?
-- grain: day, as mart.program_daily
-- formula: balances are those of mart.points_liability_as_known_then; they are null on a day without a
--   reading of its own: nobody knew then. Points that moved are what mart.program_daily said after that
--   reading (mart.published_days), null where nobody wrote it down.
create or replace view mart.program_daily_as_known_then as
with balances as (
    select
        day,
        sum(active_points) as active_points,
        sum(pending_points) as pending_points
    from mart.points_liability_as_known_then
    group by day
)

select
    days.day,
    published.points_added,
    published.points_redeemed,
    published.points_activated,
    published.points_expired,
    case
        when readings.last_day is not null then coalesce(balances.active_points, 0)
    end::numeric(19, 2) as active_balance,
    case
        when readings.last_day is not null then coalesce(balances.pending_points, 0)
    end::numeric(19, 2) as pending_balance,
    readings.known_at,
    case when readings.last_day is not null then 'read' else 'rolled back' end as method
from mart.program_daily as days
left join mart.readings on readings.feed = 'operations' and readings.last_day = days.day
left join balances on balances.day = days.day
left join mart.published_days as published
    on published.day = days.day and readings.last_day is not null;

comment on view mart.program_daily_as_known_then is 'points of mart.program_daily as known right after each day. Grain: day';
comment on column mart.program_daily_as_known_then.day is 'business day';
comment on column mart.program_daily_as_known_then.points_added is 'points given; null where nobody wrote it down then';
comment on column mart.program_daily_as_known_then.points_redeemed is 'points redeemed; null as points_added';
comment on column mart.program_daily_as_known_then.points_activated is 'points that became usable; null as points_added';
comment on column mart.program_daily_as_known_then.points_expired is 'points expired; null as points_added';
comment on column mart.program_daily_as_known_then.active_balance is 'points that could be redeemed at the end of the day, without points that only cheques state; null without a reading of its own';
comment on column mart.program_daily_as_known_then.pending_balance is 'points not usable yet, or blocked, without points that only cheques state; null without a reading of its own';
comment on column mart.program_daily_as_known_then.known_at is 'when that reading was published';
comment on column mart.program_daily_as_known_then.method is 'how mart.program_daily knows the balances: read on the day, or rolled back from a later reading, so that nobody knew then';
