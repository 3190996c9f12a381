-- Sixth step: the movements of each lot, and those without one.
create or replace function refresh.ledger_movements()
returns void
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
begin
    drop table if exists
        movements;
    create temp table movements (
        movement_date date,
        client_id bigint,
        kind text,
        points numeric,
        pos_id bigint,
        partner_name text,
        component_type smallint,
        lot_id bigint,
        cheque_id bigint
    ) on commit drop;

    insert into movements (
        movement_date, client_id, kind, points, pos_id, partner_name, component_type, lot_id
    )
    select
        issue_date as movement_date,
        client_id,
        'added' as kind,
        added as points,
        pos_id,
        partner_name,
        component_type,
        lot_id
    from lots;

    -- More remains of a lot than was given, or than a closed month had left of it.
    insert into movements (movement_date, client_id, kind, points, component_type, lot_id)
    select
        greatest(seen.seen_day, lots.issue_date) as movement_date,
        lots.client_id,
        'unexplained' as kind,
        excesses.points,
        lots.component_type,
        lots.lot_id
    from (
        select
            client_id,
            component_type,
            lot_id,
            seen_at,
            points
        from excesses
        union all
        select
            client_id,
            component_type,
            lot_id,
            seen_at,
            -points
        from drops
        where points < 0
    ) as excesses
    inner join lots
        on
            lots.client_id = excesses.client_id
            and lots.component_type = excesses.component_type
            and lots.lot_id = excesses.lot_id
    inner join seen on seen.seen_at = excesses.seen_at;

    -- What rows took from lots.
    insert into movements (
        movement_date, client_id, kind, points, pos_id, partner_name, component_type,
        lot_id, cheque_id
    )
    select
        events.day as movement_date,
        events.client_id,
        events.kind,
        -sum(taken.points) as points,
        events.pos_id,
        events.partner_name,
        taken.component_type,
        taken.lot_id,
        events.cheque_id
    from (
        select
            matched.client_id,
            matched.event,
            pieces.component_type,
            pieces.lot_id,
            matched.points
        from matched
        inner join pieces
            on pieces.client_id = matched.client_id and pieces.piece = matched.piece
        where pieces.class < 3 and not matched.has_expired
        union all
        select
            claws.client_id,
            events.event,
            claws.component_type,
            claws.lot_id,
            claws.points
        from claws
        inner join events
            on events.client_id = claws.client_id and events.taking = claws.taking
    ) as taken
    inner join events on events.client_id = taken.client_id and events.event = taken.event
    group by
        events.day,
        events.client_id,
        events.event,
        events.kind,
        events.pos_id,
        events.partner_name,
        taken.component_type,
        taken.lot_id,
        events.cheque_id;

    -- What rows took, without a lot: given back later, or seen on no lot.
    insert into movements (
        movement_date, client_id, kind, points, pos_id, partner_name, cheque_id
    )
    select
        events.day as movement_date,
        events.client_id,
        shown.kind,
        shown.points,
        events.pos_id,
        events.partner_name,
        events.cheque_id
    from events
    left join (
        select
            matched.client_id,
            matched.event,
            sum(matched.points) filter (where pieces.class < 3) as of_lots,
            sum(matched.points) as points
        from matched
        inner join pieces
            on pieces.client_id = matched.client_id and pieces.piece = matched.piece
        group by matched.client_id, matched.event
    ) as taken on taken.client_id = events.client_id and taken.event = events.event
    left join (
        select
            events.client_id,
            events.cheque_id,
            sum(matched.points) as of_lots
        from matched
        inner join events
            on
                events.client_id = matched.client_id
                and events.event = matched.event
                and events.back_at is not null
        where not matched.has_expired
        group by events.client_id, events.cheque_id
    ) as returned
        on
            returned.client_id = events.client_id
            and returned.cheque_id = events.cheque_id
            and events.kind = 'redeemed'
    cross join lateral (
        values
        (
            events.kind,
            coalesce(taken.of_lots, 0) + coalesce(returned.of_lots, 0) - events.told
        ),
        ('unexplained', events.points - coalesce(taken.points, 0))
    ) as shown (kind, points)
    where events.is_firm and shown.points <> 0;

    -- What a refund says that it gave back, but lots show as lost.
    insert into movements (movement_date, client_id, kind, points)
    select
        events.back_day as movement_date,
        events.client_id,
        'unexplained' as kind,
        -sum(matched.points) as points
    from events
    inner join matched on matched.client_id = events.client_id and matched.event = events.event
    where events.back_at is not null and not matched.has_expired
    group by events.back_day, events.client_id, events.event;

    -- What a refund gave back to a lot that ended before it was read.
    insert into movements (
        movement_date, client_id, kind, points, pos_id, partner_name, component_type, lot_id
    )
    select
        lots.expiry_date as movement_date,
        matched.client_id,
        'expired' as kind,
        -sum(matched.points) as points,
        lots.pos_id,
        lots.partner_name,
        lots.component_type,
        lots.lot_id
    from matched
    inner join pieces on pieces.client_id = matched.client_id and pieces.piece = matched.piece
    inner join lots
        on
            lots.client_id = pieces.client_id
            and lots.component_type = pieces.component_type
            and lots.lot_id = pieces.lot_id
    where matched.has_expired
    group by
        lots.expiry_date,
        matched.client_id,
        lots.pos_id,
        lots.partner_name,
        lots.component_type,
        lots.lot_id;

    -- What came back, without a lot.
    insert into movements (movement_date, client_id, kind, points)
    select
        leftovers.seen_day as movement_date,
        leftovers.client_id,
        leftovers.kind,
        leftovers.points - leftovers.rest - coalesce(placed.points, 0) as points
    from leftovers
    left join (
        select
            client_id,
            refund_piece,
            sum(points) as points
        from matched
        group by client_id, refund_piece
    ) as placed
        on placed.client_id = leftovers.client_id and placed.refund_piece = leftovers.piece
    where
        leftovers.class = 3
        and not leftovers.is_told
        and leftovers.points - leftovers.rest > coalesce(placed.points, 0);

    -- What refunds say that they gave back: to a lot, where it has it again, or lost it once more.
    insert into movements (
        movement_date, client_id, kind, points, pos_id, partner_name, cheque_id
    )
    select
        refunds.day as movement_date,
        refunds.client_id,
        'redeemed' as kind,
        -refunds.redeemed - coalesce(placed.points, 0) as points,
        refunds.pos_id,
        refunds.partner_name,
        refunds.cheque_id
    from cheques as refunds
    left join (
        select client_id, refund_id, sum(points) as points
        from (
            select client_id, refund_id, points from regained
            where lot_id is not null
            union all
            select client_id, refund_id, points from returned_to_lots
        ) as of_lots
        group by client_id, refund_id
    ) as placed
        on placed.client_id = refunds.client_id and placed.refund_id = refunds.cheque_id
    where refunds.redeemed < 0 and -refunds.redeemed > coalesce(placed.points, 0);

    insert into movements (
        movement_date, client_id, kind, points, pos_id, partner_name, component_type,
        lot_id, cheque_id
    )
    select
        refunds.day as movement_date,
        refunds.client_id,
        'redeemed' as kind,
        regained.points,
        case when refunds.redeemed < 0 then refunds.pos_id end as pos_id,
        case when refunds.redeemed < 0 then refunds.partner_name end as partner_name,
        regained.component_type,
        regained.lot_id,
        case when refunds.redeemed < 0 then refunds.cheque_id end as cheque_id
    from regained
    inner join cheques as refunds
        on refunds.client_id = regained.client_id and refunds.cheque_id = regained.refund_id
    where regained.lot_id is not null
    union all
    select
        returned_to_lots.day as movement_date,
        returned_to_lots.client_id,
        'redeemed' as kind,
        returned_to_lots.points,
        returned_to_lots.pos_id,
        returned_to_lots.partner_name,
        returned_to_lots.component_type,
        returned_to_lots.lot_id,
        case when returned_to_lots.is_told then returned_to_lots.refund_id end as cheque_id
    from returned_to_lots;

    insert into movements (movement_date, client_id, kind, points)
    select
        seen_day as movement_date,
        client_id,
        'unexplained' as kind,
        -rest as points
    from leftovers
    where class = 3 and is_told and rest > 0;

    -- More than the cheque had redeemed: on the day of the refund with which it became that.
    insert into movements (movement_date, client_id, kind, points)
    select
        back_day as movement_date,
        client_id,
        'unexplained' as kind,
        within - points as points
    from returned_points
    where points > within;

    -- What lots lost, and no row took.
    insert into movements (
        movement_date, client_id, kind, points, pos_id, partner_name, component_type, lot_id
    )
    select
        case when lost.has_expired then leftovers.expiry_date else leftovers.seen_day end as movement_date,
        leftovers.client_id,
        case when lost.has_expired then 'expired' else 'unexplained' end as kind,
        -lost.points as points,
        lots.pos_id,
        lots.partner_name,
        leftovers.component_type,
        leftovers.lot_id
    from leftovers
    left join lots
        on
            lots.client_id = leftovers.client_id
            and lots.component_type = leftovers.component_type
            and lots.lot_id = leftovers.lot_id
    left join (
        select client_id, piece, sum(points) as points
        from silent_claws
        group by client_id, piece
    ) as clawed
        on clawed.client_id = leftovers.client_id and clawed.piece = leftovers.piece
    cross join lateral (
        values
        (
            true,
            leftovers.burnt
            + case when leftovers.is_ending then leftovers.rest - coalesce(clawed.points, 0) else 0 end
        ),
        (
            false,
            case when leftovers.is_ending then 0 else leftovers.rest - coalesce(clawed.points, 0) end
        )
    ) as lost (has_expired, points)
    where
        leftovers.class < 3
        and lost.points <> 0
        and (not lost.has_expired or leftovers.expiry_date is not null);

    insert into movements (
        movement_date, client_id, kind, points, pos_id, partner_name, component_type, lot_id
    )
    select
        silent_claws.refund_day as movement_date,
        leftovers.client_id,
        'clawed_back' as kind,
        -silent_claws.points as points,
        lots.pos_id,
        lots.partner_name,
        leftovers.component_type,
        leftovers.lot_id
    from silent_claws
    inner join leftovers
        on leftovers.client_id = silent_claws.client_id and leftovers.piece = silent_claws.piece
    inner join lots
        on
            lots.client_id = leftovers.client_id
            and lots.component_type = leftovers.component_type
            and lots.lot_id = leftovers.lot_id
    where silent_claws.points <> 0;

    -- What remains of a lot that has ended. Less than nothing is no expiry: more was taken than it had.
    insert into movements (
        movement_date, client_id, kind, points, pos_id, partner_name, component_type, lot_id
    )
    select
        lots.expiry_date as movement_date,
        lots.client_id,
        case when lots.remain > 0 then 'expired' else 'unexplained' end as kind,
        -lots.remain as points,
        lots.pos_id,
        lots.partner_name,
        lots.component_type,
        lots.lot_id
    from lots
    cross join chosen
    where lots.remain <> 0 and lots.expiry_date <= chosen.operations_day;
end;
$$;
