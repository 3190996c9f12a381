-- question: how did a month's points add up as known when it ended?
-- grain: month, as mart.points_bridge_monthly
-- formula: closing is the sum of mart.points_liability_as_known_then on the last day of the month (of
--   the last day known, in the running one), so it is null where that day has no reading of its own:
--   nobody knew then. The flows are what mart.points_bridge_monthly said after that reading
--   (mart.published_months), null where nobody wrote it down; residual is the rest to closing. As known
--   now: closing_as_known_now, and mart.points_bridge_monthly.
create or replace view mart.points_bridge_as_known_then as
with balances as (
    select
        day,
        sum(outstanding_points) as points
    from mart.points_liability_as_known_then
    group by day
)

select
    bridge.month,
    published.opening,
    published.added,
    published.redeemed,
    published.expired,
    published.clawed_back,
    published.corrections,
    (then_known.closing - (
        published.opening + published.added - published.redeemed - published.expired
        - published.clawed_back + published.corrections
    ))::numeric(19, 2) as residual,
    then_known.closing::numeric(19, 2) as closing,
    bridge.closing as closing_as_known_now,
    readings.known_at,
    case when readings.last_day = months.last_day then 'read' else 'rolled back' end as method,
    bridge.is_whole_month
from mart.points_bridge_monthly as bridge
cross join mart.as_of
cross join lateral (
    select least((bridge.month + interval '1 month')::date - 1, as_of.operations_day) as last_day
) as months
left join mart.readings on readings.feed = 'operations' and readings.last_day = months.last_day
left join balances on balances.day = months.last_day
cross join lateral (
    select case when readings.last_day is not null then coalesce(balances.points, 0) end as closing
) as then_known
left join mart.published_months as published
    on
        published.month = bridge.month
        and bridge.is_whole_month
        and readings.last_day is not null;

comment on view mart.points_bridge_as_known_then is 'mart.points_bridge_monthly as known when each month ended. Grain: month';
comment on column mart.points_bridge_as_known_then.month is 'first day of the month';
comment on column mart.points_bridge_as_known_then.opening is 'points outstanding before the month; null where nobody wrote it down then';
comment on column mart.points_bridge_as_known_then.added is 'points given; null as opening';
comment on column mart.points_bridge_as_known_then.redeemed is 'points redeemed, less points that refunds gave back; null as opening';
comment on column mart.points_bridge_as_known_then.expired is 'points expired; null as opening';
comment on column mart.points_bridge_as_known_then.clawed_back is 'points taken back for refunded cheques; null as opening';
comment on column mart.points_bridge_as_known_then.corrections is 'deductions by rows, and rows that vanished; null as opening';
comment on column mart.points_bridge_as_known_then.residual is 'the rest to closing, so also points that only cheques state, which closing does not hold; null as opening';
comment on column mart.points_bridge_as_known_then.closing is 'points outstanding at the end of the month as its reading saw it, without points that only cheques state; null without a reading of that day';
comment on column mart.points_bridge_as_known_then.closing_as_known_now is 'closing of mart.points_bridge_monthly';
comment on column mart.points_bridge_as_known_then.known_at is 'when that reading was published';
comment on column mart.points_bridge_as_known_then.method is 'how closing_as_known_now is known: read on the last day, or rolled back from a later reading, so that nobody knew then';
comment on column mart.points_bridge_as_known_then.is_whole_month is 'the month has ended';
