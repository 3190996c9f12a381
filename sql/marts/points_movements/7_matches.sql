-- Fifth step: losses and takings matched.
create or replace function refresh.ledger_matches()
returns void
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
declare
    unmatched record;
    freed record;
    part numeric;
begin
    drop table if exists
        refund_shares, piece_rows, pieces, event_rows, events, matched, redeemed_unmatched, freed_matches,
        late_matches, leftovers, silent_claws;
    -- What refunds that state no points may take of a lot that only its cheque states.
    create temp table refund_shares on commit drop as
    select
        refunded.client_id,
        refunded.component_type,
        refunded.lot_id,
        refunded.cheque_id as refund_id,
        refunded.refunded_at,
        refunded.refund_day,
        round(lots.added * least(1, sum(refunded.share) over in_order), 2)
        - round(lots.added * least(1, sum(refunded.share) over in_order - refunded.share), 2)
            as points
    from refunded
    inner join lots
        on
            lots.client_id = refunded.client_id
            and lots.component_type = refunded.component_type
            and lots.lot_id = refunded.lot_id
            and lots.remain is null
    window in_order as (
        partition by refunded.client_id, refunded.component_type, refunded.lot_id
        order by refunded.refunded_at, refunded.cheque_id
    );

    -- All that lots lost, may lose or got back. class: see refresh.allocate.
    create temp table piece_rows (
        client_id bigint,
        component_type smallint,
        lot_id bigint,
        spending_rank bigint,
        seen_at timestamptz,
        class integer,
        is_ending boolean default false,
        points numeric,
        burnt numeric default 0,
        starts_at timestamptz,
        ends_at timestamptz default 'infinity',
        expires_at timestamptz default 'infinity',
        seen_day date,
        expiry_date date,
        refund_day date,
        refund_limit numeric,
        kind text,
        is_told boolean default false,
        refund_id bigint,
        of_cheque_id bigint
    ) on commit drop;

    insert into piece_rows (
        client_id, component_type, lot_id, spending_rank, seen_at, class, is_ending, points,
        burnt, starts_at, ends_at, expires_at, seen_day, expiry_date, refund_day, refund_limit,
        refund_id
    )
    select
        reserved.client_id,
        reserved.component_type,
        reserved.lot_id,
        reserved.spending_rank,
        reserved.seen_at,
        case when reserved.may_have_expired or reserved.refund_day is not null then 1 else 0 end as class,
        reserved.may_have_expired as is_ending,
        reserved.points - reserved.burnt - coalesce(claws.points, 0) as points,
        reserved.burnt,
        reserved.starts_at,
        least(expiring.expires_at, reserved.refunded_at) as ends_at,
        expiring.expires_at,
        reserved.seen_day,
        reserved.expiry_date,
        reserved.refund_day,
        case when reserved.refund_day is not null then reserved.refund_limit end as refund_limit,
        nullif(reserved.given_back_by, 0) as refund_id
    from reserved
    inner join lots
        on
            lots.client_id = reserved.client_id
            and lots.component_type = reserved.component_type
            and lots.lot_id = reserved.lot_id
    cross join lateral (
        select
            case
                when reserved.is_ending and reserved.given_back_by = 0 then lots.ends_at
                -- What was given back need not have been of a lot that ended.
                else 'infinity'
            end as expires_at
    ) as expiring
    left join (
        select
            client_id,
            component_type,
            lot_id,
            seen_at,
            given_back_by,
            sum(points) as points
        from claws
        group by client_id, component_type, lot_id, seen_at, given_back_by
    ) as claws
        on
            claws.client_id = reserved.client_id
            and claws.component_type = reserved.component_type
            and claws.lot_id = reserved.lot_id
            and claws.seen_at = reserved.seen_at
            and claws.given_back_by = reserved.given_back_by;

    -- What was given back, and lost again by a lot that is not known.
    insert into piece_rows (
        client_id, spending_rank, seen_at, class, points, starts_at, seen_day, refund_id
    )
    select
        client_id,
        0 as spending_rank,
        seen_at,
        0 as class,
        points,
        back_at as starts_at,
        back_day as seen_day,
        refund_id
    from regained
    where lot_id is null;

    -- No row states what remains of these. The share of a refund can be redeemed only before it.
    insert into piece_rows (
        client_id, component_type, lot_id, spending_rank, seen_at, class, is_ending, points,
        starts_at, ends_at, expires_at, expiry_date, refund_day, refund_limit, refund_id
    )
    select
        lots.client_id,
        lots.component_type,
        lots.lot_id,
        lots.spending_rank,
        least(lots.first_seen_at, former.first_seen_at) as seen_at,
        2 as class,
        true as is_ending,
        parts.points,
        lots.starts_at,
        least(lots.ends_at, parts.refunded_at) as ends_at,
        lots.ends_at as expires_at,
        case when lots.expiry_date <= chosen.operations_day then lots.expiry_date end as expiry_date,
        parts.refund_day,
        case when parts.refund_day is not null then parts.points end as refund_limit,
        parts.refund_id
    from lots
    cross join chosen
    inner join (
        select * from refund_shares
        union all
        select
            lots.client_id,
            lots.component_type,
            lots.lot_id,
            null as refund_id,
            null as refunded_at,
            null as refund_day,
            lots.added - coalesce(shares.points, 0) - coalesce(claws.points, 0) as points
        from lots
        left join (
            select client_id, component_type, lot_id, sum(points) as points
            from refund_shares
            group by client_id, component_type, lot_id
        ) as shares
            on
                shares.client_id = lots.client_id
                and shares.component_type = lots.component_type
                and shares.lot_id = lots.lot_id
        left join (
            select client_id, component_type, lot_id, sum(points) as points
            from claws
            where seen_at is null
            group by client_id, component_type, lot_id
        ) as claws
            on
                claws.client_id = lots.client_id
                and claws.component_type = lots.component_type
                and claws.lot_id = lots.lot_id
        where lots.remain is null
    ) as parts
        on
            parts.client_id = lots.client_id
            and parts.component_type = lots.component_type
            and parts.lot_id = lots.lot_id
    left join (
        select client_id, component_type, operation_id, min(first_seen_at) as first_seen_at
        from former
        group by client_id, component_type, operation_id
    ) as former
        on
            former.client_id = lots.client_id
            and former.component_type = lots.component_type
            and former.operation_id = lots.lot_id
    where parts.points > 0;

    -- Points that a refund gave back, whether it states them or not. Those that lots have again are booked there.
    insert into piece_rows (
        client_id, spending_rank, seen_at, class, points, starts_at, seen_day, refund_limit, kind,
        is_told, refund_id, of_cheque_id
    )
    select
        refunds.client_id,
        case when refunds.redeemed < 0 then 1 else 2 end as spending_rank,
        refunds.seen_at,
        3 as class,
        given.points - coalesce(returned.points, 0) as points,
        refunds.processed_at + refunds.delay as starts_at,
        refunds.day as seen_day,
        given.points as refund_limit,
        'redeemed' as kind,
        refunds.redeemed < 0 as is_told,
        refunds.cheque_id as refund_id,
        parents.cheque_id as of_cheque_id
    from cheques as refunds
    left join givers
        on givers.client_id = refunds.client_id and givers.refund_id = refunds.cheque_id
    left join cheques as parents
        on
            parents.client_id = refunds.client_id
            and parents.cheque_id = refunds.parent_id
            and parents.redeemed > 0
    left join (
        select client_id, refund_id, sum(points) as points
        from (
            select client_id, refund_id, points from returned_to_lots
            union all
            select client_id, refund_id, points from regained
        ) as of_lots
        group by client_id, refund_id
    ) as returned
        on returned.client_id = refunds.client_id and returned.refund_id = refunds.cheque_id
    cross join chosen
    cross join lateral (
        select
            case
                when refunds.redeemed < 0 then givers.points
                else round(
                    parents.redeemed * least(
                        1, coalesce(abs(refunds.amount) / nullif(abs(parents.amount), 0), 1)
                    ), 2
                )
            end as points
    ) as given
    where
        refunds.is_refund
        and case
            when refunds.redeemed < 0 then givers.points > 0
            else
                parents.cheque_id is not null
                and chosen.silent_refunds_give_back is distinct from false
        end;

    insert into piece_rows (
        client_id, component_type, lot_id, spending_rank, seen_at, class, points, starts_at,
        seen_day, kind
    )
    select
        client_id,
        component_type,
        operation_id as lot_id,
        3 as spending_rank,
        seen_at,
        3 as class,
        given as points,
        '-infinity' as starts_at,
        day as seen_day,
        'corrected' as kind
    from vanished
    where given > 0;

    create temp table pieces on commit drop as
    select
        *,
        row_number() over (
            partition by client_id
            -- Of refunds that one reading saw, the earliest: without an order of its own, the result would
            -- hang on which other clients are computed with this one.
            order by
                class = 3,
                seen_at,
                spending_rank,
                lot_id,
                component_type,
                -- What a refund took is what was left: the share of the earliest is redeemed last.
                ends_at desc,
                seen_day,
                refund_id
        )::integer as piece
    from piece_rows;

    -- What rows took. told is what the row states, points is what lots have to show.
    create temp table event_rows (
        client_id bigint,
        taking bigint,
        kind text,
        day date,
        at timestamptz,
        seen_at timestamptz,
        told numeric default 0,
        points numeric,
        is_firm boolean default false,
        cheque_id bigint,
        pos_id bigint,
        partner_name text,
        back_at timestamptz,
        back_day date,
        gone_at timestamptz
    ) on commit drop;

    insert into event_rows (
        client_id, taking, kind, day, at, seen_at, told, points, is_firm, cheque_id, pos_id,
        partner_name
    )
    select
        takings.client_id,
        takings.taking,
        takings.kind,
        takings.day,
        takings.at,
        takings.seen_at,
        takings.told - coalesce(claws.points, 0) as told,
        takings.points - coalesce(claws.points, 0) as points,
        true as is_firm,
        takings.cheque_id,
        takings.pos_id,
        takings.partner_name
    from takings
    left join (
        select client_id, taking, sum(points) as points
        from claws
        group by client_id, taking
    ) as claws
        on claws.client_id = takings.client_id and claws.taking = takings.taking;

    insert into event_rows (
        client_id, kind, day, at, seen_at, points, cheque_id, pos_id, partner_name, gone_at
    )
    select
        client_id,
        'corrected' as kind,
        day,
        at,
        seen_at,
        taken as points,
        operation_id as cheque_id,
        pos_id,
        partner_name,
        gone_at
    from vanished
    where taken > 0;

    -- A refund that names no cheque and no points may have taken some.
    insert into event_rows (
        client_id, kind, day, at, seen_at, points, cheque_id, pos_id, partner_name
    )
    select
        client_id,
        'clawed_back' as kind,
        day,
        processed_at as at,
        seen_at,
        abs(amount) as points,
        cheque_id,
        pos_id,
        partner_name
    from cheques
    inner join chosen on not chosen.refunds_state_points
    where is_refund and parent_id is null and added = 0;

    -- What one reading had of a purchase together with its refund. Where the lots show the loss all the same, it
    -- was taken when the cheque says, and did not come back.
    insert into event_rows (
        client_id, kind, day, at, seen_at, points, cheque_id, pos_id, partner_name, back_at,
        back_day
    )
    select
        client_id,
        'redeemed' as kind,
        day,
        at,
        'infinity' as seen_at,
        within as points,
        cheque_id,
        pos_id,
        partner_name,
        back_at,
        back_day
    from returned_points
    where seen_at = back_seen_at;

    create temp table events on commit drop as
    select
        *,
        row_number() over (
            partition by client_id
            order by
                seen_at asc,
                is_firm desc,
                at asc,
                taking asc,
                cheque_id asc,
                kind asc,
                points asc,
                back_at asc
        )::integer as event
    from event_rows;

    create temp table matched on commit drop as
    select
        *,
        false as has_expired
    from refresh.allocated(may_lack_rows => true);

    -- A row that vanished gave its points back before the reading that no longer had it. What a row of the
    -- readings from its first to that one redeemed, and no lot shows, took them again.
    create temp table redeemed_unmatched on commit drop as
    select
        events.client_id,
        events.event,
        events.seen_at,
        events.points - coalesce(taken.points, 0) as points
    from events
    inner join (select distinct client_id from event_rows where gone_at is not null) as with_gone
        on with_gone.client_id = events.client_id
    left join (
        select client_id, event, sum(points) as points
        from matched
        group by client_id, event
    ) as taken on taken.client_id = events.client_id and taken.event = events.event
    where
        events.kind = 'redeemed' and events.is_firm and events.points > coalesce(taken.points, 0);

    create temp table freed_matches on commit drop as
    select
        matched.client_id,
        matched.event,
        matched.piece,
        events.seen_at,
        events.gone_at,
        sum(matched.points) as points
    from matched
    inner join events
        on events.client_id = matched.client_id and events.event = matched.event
    inner join (select distinct client_id from redeemed_unmatched) as with_unmatched
        on with_unmatched.client_id = matched.client_id
    where events.gone_at is not null
    group by
        matched.client_id, matched.event, matched.piece, events.seen_at, events.gone_at;

    create index on freed_matches (client_id);

    delete from matched
    using freed_matches
    where
        freed_matches.client_id = matched.client_id
        and freed_matches.event = matched.event
        and freed_matches.piece = matched.piece;

    for unmatched in
        select * from redeemed_unmatched order by client_id, event
    loop
        for freed in
            select * from freed_matches
            where
                client_id = unmatched.client_id
                and points > 0
                and unmatched.seen_at between seen_at and gone_at
            order by event, piece
        loop
            exit when unmatched.points = 0;
            part := least(unmatched.points, freed.points);
            unmatched.points := unmatched.points - part;
            update freed_matches set points = points - part
            where client_id = freed.client_id and event = freed.event and piece = freed.piece;
            insert into matched (client_id, piece, event, points, has_expired)
            values (freed.client_id, freed.piece, unmatched.event, part, false);
        end loop;
    end loop;

    insert into matched (client_id, piece, event, points, has_expired)
    select client_id, piece, event, points, false as has_expired
    from freed_matches
    where points > 0;

    -- A lot is gone at the end of its expiry day, whatever its hour says: what was redeemed after that hour of the
    -- day, and no other lot shows, was its.
    create temp table late_matches on commit drop as
    select
        late.client_id,
        late.piece,
        late.event,
        late.lacking,
        late.rest,
        0::numeric as points
    from (
        select
            events.client_id,
            pieces.piece,
            events.event,
            events.points - coalesce(of_event.points, 0) as lacking,
            pieces.points - coalesce(of_piece.points, 0) as rest
        from pieces
        inner join events
            on
                events.client_id = pieces.client_id
                and events.seen_at = pieces.seen_at
                and events.day = pieces.expiry_date
        left join (
            select client_id, event, sum(points) as points
            from matched
            group by client_id, event
        ) as of_event
            on of_event.client_id = events.client_id and of_event.event = events.event
        left join (
            select client_id, piece, sum(points) as points
            from matched
            group by client_id, piece
        ) as of_piece
            on of_piece.client_id = pieces.client_id and of_piece.piece = pieces.piece
        where
            pieces.class = 1
            and pieces.is_ending
            and pieces.refund_day is null
            and pieces.refund_id is null
            and pieces.starts_at <= events.at
            and pieces.ends_at <= events.at
            and events.kind = 'redeemed'
            and events.is_firm
    ) as late
    where late.lacking > 0 and late.rest > 0;

    create index on late_matches (client_id);

    for unmatched in
        select * from late_matches order by client_id, event, piece
    loop
        part := least(
            unmatched.lacking - (
                select sum(points) from late_matches
                where client_id = unmatched.client_id and event = unmatched.event
            ),
            unmatched.rest - (
                select sum(points) from late_matches
                where client_id = unmatched.client_id and piece = unmatched.piece
            )
        );
        update late_matches
        set points = part
        where
            client_id = unmatched.client_id
            and event = unmatched.event
            and piece = unmatched.piece;
    end loop;

    insert into matched (client_id, piece, event, points, has_expired)
    select client_id, piece, event, points, false as has_expired
    from late_matches
    where points > 0;

    -- The lot ended after the refund, and before the reading that had the refund: what it got back expired.
    update matched
    set has_expired = true
    from events
    inner join returned_points
        on
            returned_points.client_id = events.client_id
            and returned_points.cheque_id = events.cheque_id
            and returned_points.back_at = events.back_at
    inner join seen on seen.seen_at = returned_points.back_seen_at
    cross join pieces
    inner join lots
        on
            lots.client_id = pieces.client_id
            and lots.component_type = pieces.component_type
            and lots.lot_id = pieces.lot_id
    where
        events.client_id = matched.client_id
        and events.event = matched.event
        and pieces.client_id = matched.client_id
        and pieces.piece = matched.piece
        and (
            lots.ends_at > events.back_at
            or (pieces.is_ending and pieces.seen_at >= returned_points.back_seen_at)
        )
        and lots.expiry_date <= seen.seen_day + 1;

    -- came_back: given back to a lot after the refund that may have taken this piece of it.
    create temp table leftovers on commit drop as
    select
        pieces.*,
        pieces.points - coalesce(taken.points, 0) as rest,
        coalesce(returned.points, 0) as came_back
    from pieces
    left join (
        select
            client_id,
            coalesce(refund_piece, piece) as piece,
            sum(points) as points
        from matched
        group by client_id, coalesce(refund_piece, piece)
    ) as taken on taken.client_id = pieces.client_id and taken.piece = pieces.piece
    left join (
        select
            matched.client_id,
            matched.piece,
            sum(matched.points) as points
        from matched
        inner join pieces as lots
            on lots.client_id = matched.client_id and lots.piece = matched.piece
        inner join pieces as refunds
            on refunds.client_id = matched.client_id and refunds.piece = matched.refund_piece
        where refunds.starts_at >= lots.ends_at
        group by matched.client_id, matched.piece
    ) as returned on returned.client_id = pieces.client_id and returned.piece = pieces.piece;

    -- What a refund gave back to a lot that only a cheque states.
    insert into returned_to_lots
    select
        refunds.client_id,
        refunds.seen_day as day,
        refunds.refund_id,
        refunds.is_told,
        case when refunds.is_told then cheques.pos_id end as pos_id,
        case when refunds.is_told then cheques.partner_name end as partner_name,
        lots.component_type,
        lots.lot_id,
        refunds.seen_at,
        sum(matched.points) as points
    from matched
    inner join pieces as refunds
        on refunds.client_id = matched.client_id and refunds.piece = matched.refund_piece
    inner join pieces as lots
        on lots.client_id = matched.client_id and lots.piece = matched.piece
    inner join cheques
        on cheques.client_id = refunds.client_id and cheques.cheque_id = refunds.refund_id
    group by
        refunds.client_id, refunds.seen_day, refunds.refund_id, refunds.is_told, cheques.pos_id,
        cheques.partner_name, lots.component_type, lots.lot_id, refunds.seen_at;

    -- What refunds that state no points took of it: each at most its share, the last of them the rest.
    create temp table silent_claws on commit drop as
    select
        client_id,
        piece,
        refund_day,
        case when is_last then taken else least(taken, through) end - least(taken, before) as points
    from (
        select
            leftovers.client_id,
            leftovers.piece,
            refunded.refund_day,
            limits.taken,
            round(lots.added * (sum(refunded.share) over in_order - refunded.share), 2) as before,
            round(lots.added * sum(refunded.share) over in_order, 2) as through,
            lead(refunded.cheque_id) over in_order is null as is_last
        from leftovers
        inner join lots
            on
                lots.client_id = leftovers.client_id
                and lots.component_type = leftovers.component_type
                and lots.lot_id = leftovers.lot_id
        inner join refunded
            on
                refunded.client_id = leftovers.client_id
                and refunded.component_type = leftovers.component_type
                and refunded.lot_id = leftovers.lot_id
                and case
                    when leftovers.class = 2 then refunded.cheque_id = leftovers.refund_id
                    else refunded.seen_at = leftovers.seen_at
                end
        cross join lateral (
            select
                case
                    when not leftovers.is_ending then leftovers.rest
                    else least(
                        greatest(leftovers.rest - leftovers.came_back, 0), leftovers.refund_limit
                    )
                end as taken
        ) as limits
        where leftovers.refund_day is not null
        window in_order as (
            partition by leftovers.client_id, leftovers.piece
            order by refunded.refunded_at, refunded.cheque_id
        )
    ) as shares;
end;
$$;
