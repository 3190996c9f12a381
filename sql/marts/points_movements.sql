-- question: which movements made the points that are outstanding?
-- grain: movement: what a row of the source did to one lot, or what is known of a lot without a row
-- formula: the points ledger. Facts: lots (`added`), redemptions and refunds by cheques (once each)
--   and by bonus rows that stand alone, deductions, burns, and each `remain` that a reading saw. An
--   allocation: which lots a redemption took from. What a lot lost between two readings is matched
--   with what rows of the same readings took, in the spending order (mart.conventions), within the
--   time in which the lot could be used; what remains of it is `clawed_back` on the day of a silent
--   refund of its cheque, `expired` on its expiry day, or `unexplained` on the last day of the reading
--   that saw it. A lot that only a cheque states has no remain: it keeps what is not redeemed. Points
--   are given positive and taken negative: a refund that gives points back is `redeemed` with a plus.
--   `corrected`: deductions, and rows that vanished although their points had moved. All movements of
--   a client sum up to what remains of its lots.
-- needs: spending order
-- as days pass: expire_lots
-- record changes: record_movements

drop function if exists refresh.points_ledger cascade;
drop function if exists refresh.ledger_returns_to_lots;
-- The ledger, step by step. Each step is stored: in one statement, the planner would guess at what comes
-- of a dozen joins. Steps are joined by hash alone, for it knows what a usual client has, and would
-- compare the rows of one with a very long history with each other.
create or replace function refresh.points_ledger()
returns table (
    movement_date date,
    client_id bigint,
    kind text,
    points numeric,
    bonus_source smallint,
    pos_id bigint,
    partner_name text,
    lot_id bigint,
    component_type smallint,
    cheque_id bigint,
    issue_date date,
    expiry_date date,
    pending_until date,
    lots_change integer,
    price_of_point numeric
)
language plpgsql rows 100000
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
#variable_conflict use_column
begin
    -- Each step leaves temporary tables to those after it. Here is a row of each: chosen: the conventions in use (one
    -- row). lots, cheques: a lot or cheque, with the moments from and until which it can matter. prices: a lot that a
    -- purchase paid for. seen: a reading, with its last day, and the first day of the months that were open then.
    -- versions, levels, drops, excesses: a lot in a reading that changed it: its remain, the part that it never got
    -- back, what it lost, what it has too much. given_back: a refunded cheque. returned_points: a refund that states
    -- that it gave points back of a known purchase. netted: a purchase, with what refunds that one reading had
    -- together with it gave back. givers: any other refund that gave points back, or may have. changes: a lot in a
    -- reading by which it has more or less. claimed_rises, returned_to_lots: a lot that has points again, and the
    -- refund that gave them. unreturned: such a refund, with the points that no lot has again. refunded: a lot and a
    -- refund of its cheque that states no points. gone_first, former: a row that lives on under another client: when
    -- it was first seen, and as whose.
    perform refresh.ledger_readings();
    -- alone: a row that takes points, and that no cheque speaks for. lot_burns: a lot that such rows burnt.
    perform refresh.ledger_takings_alone();
    -- regained: a lot that got points back from a refund and lost them again before the reading that had the refund.
    perform refresh.ledger_returns();
    -- reserved: a loss of a lot, with the part that a burn took. takings: what a row took. claws: a taking of a refund
    -- and a loss that it explains for sure. vanished: a row that the source no longer has.
    perform refresh.ledger_losses();
    -- pieces: a part of a lot that it lost, may have lost or got back. events: what a row took, or gave back. matched:
    -- a piece and an event, with the points of the one that the other took. leftovers: the rest of each piece.
    -- silent_claws: a leftover and a refund that states no points, with what the refund took of it.
    perform refresh.ledger_matches();
    -- movements: the rows of the mart.
    perform refresh.ledger_movements();
    return query
    select
        movements.movement_date,
        movements.client_id,
        movements.kind,
        movements.points,
        lots.bonus_source,
        movements.pos_id,
        movements.partner_name,
        movements.lot_id,
        movements.component_type,
        movements.cheque_id,
        lots.issue_date,
        lots.expiry_date,
        case
            when
                lots.is_active is false
                and lots.remain <> 0
                and (lots.expiry_date is null or lots.expiry_date > chosen.operations_day)
                then '9999-12-31'::date
            when lots.active_date > lots.issue_date then lots.active_date
        end as pending_until,
        case
            when movements.lot_id is null then 0
            else
                (sum(movements.points) over of_lot > 0)::integer
                - (sum(movements.points) over of_lot - movements.points > 0)::integer
        end as lots_change,
        prices.price_of_point
    from movements
    cross join chosen
    left join lots
        on
            lots.client_id = movements.client_id
            and lots.component_type = movements.component_type
            and lots.lot_id = movements.lot_id
    left join prices
        on
            prices.client_id = movements.client_id
            and prices.component_type = movements.component_type
            and prices.lot_id = movements.lot_id
    window of_lot as (
        partition by movements.client_id, movements.component_type, movements.lot_id
        order by
            movements.movement_date asc,
            movements.points desc,
            movements.kind asc,
            movements.cheque_id asc
        rows between unbounded preceding and current row
    );
end;
$$;

create view refresh.points_movements as
select
    movement_date,
    client_id,
    kind,
    points::numeric(19, 2) as points,
    bonus_source,
    pos_id,
    partner_name,
    lot_id,
    component_type,
    cheque_id,
    issue_date,
    expiry_date,
    pending_until,
    lots_change,
    price_of_point
from refresh.points_ledger();

create table mart.points_movements as table refresh.points_movements with no data;
create index on mart.points_movements (client_id);
create index on mart.points_movements (movement_date);

comment on table mart.points_movements is 'the points ledger: what was done to each lot, and what is known of points without one; the movements of a client sum up to what remains of its lots. Grain: movement';
comment on column mart.points_movements.movement_date is 'business day';
comment on column mart.points_movements.client_id is 'the client';
comment on column mart.points_movements.kind is 'added, redeemed, expired, clawed_back (refunds), corrected (deductions, vanished rows) or unexplained';
comment on column mart.points_movements.points is 'points: given positive, taken negative';
comment on column mart.points_movements.bonus_source is 'bonus source of the lot; null without one';
comment on column mart.points_movements.pos_id is 'point of sale of the row or the lot';
comment on column mart.points_movements.partner_name is 'partner of the row or the lot';
comment on column mart.points_movements.lot_id is 'the lot, of redemptions an allocation; null where no lot is known';
comment on column mart.points_movements.component_type is 'kind of operation of the lot; part of its key';
comment on column mart.points_movements.cheque_id is 'cheque whose row states it; null when none does';
comment on column mart.points_movements.issue_date is 'business day on which the lot was given';
comment on column mart.points_movements.expiry_date is 'business day at whose end the lot is gone; null when it does not expire';
comment on column mart.points_movements.pending_until is 'first business day on which the lot could be used; 9999-12-31 while it is blocked; null when at once';
comment on column mart.points_movements.price_of_point is 'money of the purchase that is set aside for each point of the lot; null where no purchase paid for it, see mart.points_sums';
comment on column mart.points_movements.lots_change is 'by how many the lots with points left change: 1, 0 or -1';
