-- question: which points were given, and what is left of them?
-- grain: lot = live bonus row with added > 0, or a cheque whose points no bonus row names
-- formula: a bonus row carries a bonus id, or names neither a cheque nor an order; the points that a
--   cheque row repeats in `added` are those of its bonuses and are no lot. Rows of refunds and of burns
--   are none, whatever their sign. A null remain of a bonus row counts as 0; of a lot that only a
--   cheque states, remain is what mart.points_movements leaves.
--   The lot starts and expires on the business days of active_from and expires_at: it is gone at the
--   end of its expiry day, at the earliest of the day on which it was given. All loaded rows are here,
--   those of a day that has not ended too, but none of an implausible day: see
--   mart.first_plausible_day().
-- record changes: record_lots
create view refresh.lots as
with estimated as (
    select
        lot_rows.client_id,
        lot_rows.component_type,
        lot_rows.lot_id,
        sum(points_movements.points) as remain
    from refresh.lot_rows
    inner join mart.points_movements
        on
            points_movements.client_id = lot_rows.client_id
            and points_movements.component_type = lot_rows.component_type
            and points_movements.lot_id = lot_rows.lot_id
    where lot_rows.remain is null
    group by lot_rows.client_id, lot_rows.component_type, lot_rows.lot_id
)

select
    lot_rows.client_id,
    lot_rows.component_type,
    lot_rows.lot_id,
    lot_rows.issue_date,
    lot_rows.bonus_source,
    lot_rows.cheque_id,
    lot_rows.pos_id,
    lot_rows.partner_name,
    lot_rows.added,
    coalesce(lot_rows.remain, estimated.remain, lot_rows.added)::numeric(19, 2) as remain,
    lot_rows.is_active,
    coalesce(
        (lot_rows.active_from at time zone parameters.timezone)::date, lot_rows.issue_date
    ) as active_date,
    case
        when lot_rows.expires_at is not null
            then greatest(
                (lot_rows.expires_at at time zone parameters.timezone)::date,
                lot_rows.issue_date
            )
    end as expiry_date,
    lot_rows.is_told_by_cheque
from refresh.lot_rows
cross join mart.parameters
left join estimated
    on
        estimated.client_id = lot_rows.client_id
        and estimated.component_type = lot_rows.component_type
        and estimated.lot_id = lot_rows.lot_id;

create table mart.lots as table refresh.lots with no data;
create index on mart.lots (client_id);
create index on mart.lots (expiry_date);
create index on mart.lots (issue_date);
create index on mart.lots (lot_id);

comment on table mart.lots is 'points that were given, lot by lot, with what is left of them. Grain: live bonus row with added > 0, or cheque whose points no bonus row names';
comment on column mart.lots.client_id is 'the client';
comment on column mart.lots.component_type is 'kind of operation; part of the key';
comment on column mart.lots.lot_id is 'the lot (operation_id)';
comment on column mart.lots.issue_date is 'business day on which the points were given';
comment on column mart.lots.bonus_source is 'why they were given, see core.bonus_sources';
comment on column mart.lots.cheque_id is 'cheque that they were given for, if any';
comment on column mart.lots.pos_id is 'point of sale; null when unknown';
comment on column mart.lots.partner_name is 'partner, as mart.display_text shows it; null or empty when unknown';
comment on column mart.lots.added is 'points given';
comment on column mart.lots.remain is 'points left, as of the newest reading; of a lot that only a cheque states, what the ledger leaves';
comment on column mart.lots.is_active is 'the source says that they can be used';
comment on column mart.lots.active_date is 'business day from which they can be used; the issue date when unknown';
comment on column mart.lots.expiry_date is 'business day at whose end they are gone; null when they do not expire';
comment on column mart.lots.is_told_by_cheque is 'only a cheque states it, without what remains';
