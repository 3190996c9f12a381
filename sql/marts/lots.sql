-- question: which points were given, and what is left of them?
-- grain: lot = live bonus row with added > 0
-- formula: a bonus row carries a bonus id, or names neither a cheque nor an order; the points that a
--   cheque row repeats in `added` are those of its bonuses and are no lot. A null remain counts as 0.
--   The lot starts and expires on the business days of active_from and expires_at: it is gone at the
--   end of its expiry day, at the earliest of the day on which it was given. All loaded rows are here,
--   those of a day that has not ended too, but none of an implausible day: see
--   mart.first_plausible_day().
create view refresh.lots as
select
    operations.client_id,
    operations.component_type,
    operations.operation_id as lot_id,
    operations.operation_date as issue_date,
    operations.bonus_source,
    operations.cheque_id,
    operations.pos_id,
    mart.display_text(operations.partner_name) as partner_name,
    operations.added,
    coalesce(operations.remain, 0) as remain,
    operations.is_active,
    coalesce(
        (operations.active_from at time zone parameters.timezone)::date, operations.operation_date
    ) as active_date,
    case
        when operations.expires_at is not null
            then greatest(
                (operations.expires_at at time zone parameters.timezone)::date,
                operations.operation_date
            )
    end as expiry_date
from refresh.scope
inner join core.operations on operations.client_id = scope.client_id
cross join mart.parameters
where
    operations.added > 0
    and operations.deleted_at is null
    and operations.operation_date
    between mart.first_plausible_day() and mart.last_plausible_day()
    and (
        operations.bonus_id <> 0
        or (coalesce(operations.cheque_id, 0) = 0 and coalesce(operations.order_id, 0) = 0)
    );

create table mart.lots as table refresh.lots with no data;
create index on mart.lots (client_id);
create index on mart.lots (expiry_date);
create index on mart.lots (issue_date);

comment on table mart.lots is 'points that were given, lot by lot, with what is left of them. Grain: live bonus row with added > 0';
comment on column mart.lots.client_id is 'the client';
comment on column mart.lots.component_type is 'kind of operation; part of the key';
comment on column mart.lots.lot_id is 'the lot (operation_id)';
comment on column mart.lots.issue_date is 'business day on which the points were given';
comment on column mart.lots.bonus_source is 'why they were given, see core.bonus_sources';
comment on column mart.lots.cheque_id is 'cheque that they were given for, if any';
comment on column mart.lots.pos_id is 'point of sale; null when not told';
comment on column mart.lots.partner_name is 'partner, as mart.display_text shows it; null or empty when not told';
comment on column mart.lots.added is 'points given';
comment on column mart.lots.remain is 'points left, as of the newest reading; 0 when not told';
comment on column mart.lots.is_active is 'the source says that they can be used';
comment on column mart.lots.active_date is 'business day from which they can be used; the issue date when not told';
comment on column mart.lots.expiry_date is 'business day at whose end they are gone; null when they do not expire';
