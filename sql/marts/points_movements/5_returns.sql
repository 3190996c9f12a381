-- Third step: what refunds gave back to lots that lost it once more before the reading that had the refund.
create or replace function refresh.ledger_returns()
returns void
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
begin
    drop table if exists regained, unseen;
    -- lot_id is null where another lot than those that ended has lost it.
    create temp table regained (
        client_id bigint,
        refund_id bigint,
        seen_at timestamptz,
        back_at timestamptz,
        back_day date,
        component_type smallint,
        lot_id bigint,
        points numeric(19, 2)
    ) on commit drop;
    -- Of a refund of a purchase that is not known: what a burn took in the same reading of a lot that an earlier one
    -- had seen without these points.
    insert into regained
    select
        open_refunds.client_id,
        open_refunds.refund_id,
        open_refunds.seen_at,
        open_refunds.at as back_at,
        open_refunds.day as back_day,
        burnt.component_type,
        burnt.lot_id,
        least(open_refunds.through, burnt.through)
        - greatest(open_refunds.through - open_refunds.points, burnt.through - burnt.points) as points
    from (
        select
            *,
            sum(points) over (partition by client_id, seen_at order by at, refund_id) as through
        from unreturned
        where purchase_id is null
    ) as open_refunds
    inner join (
        select
            *,
            sum(points) over (
                partition by client_id, seen_at order by spending_rank
            ) as through
        from (
            select
                lot_burns.client_id,
                lot_burns.component_type,
                lot_burns.lot_id,
                lot_burns.seen_at,
                lots.spending_rank,
                lots.ends_at,
                least(
                    sum(drops.points) filter (where drops.seen_at < lot_burns.seen_at),
                    lot_burns.points - coalesce(lots.remain, 0) - coalesce(
                        sum(drops.points) filter (where drops.seen_at >= lot_burns.seen_at), 0
                    )
                ) as points
            from (select distinct client_id from givers where is_told) as clients
            inner join lot_burns on lot_burns.client_id = clients.client_id
            inner join lots
                on
                    lots.client_id = lot_burns.client_id
                    and lots.component_type = lot_burns.component_type
                    and lots.lot_id = lot_burns.lot_id
            inner join drops
                on
                    drops.client_id = lot_burns.client_id
                    and drops.component_type = lot_burns.component_type
                    and drops.lot_id = lot_burns.lot_id
                    and drops.points > 0
            group by
                lot_burns.client_id,
                lot_burns.component_type,
                lot_burns.lot_id,
                lot_burns.seen_at,
                lot_burns.points,
                lots.remain,
                lots.spending_rank,
                lots.ends_at
        ) as of_lots
        where points > 0
    ) as burnt
        on
            burnt.client_id = open_refunds.client_id
            and burnt.seen_at = open_refunds.seen_at
            and burnt.ends_at > open_refunds.at
            and burnt.through - burnt.points < open_refunds.through
            and burnt.through > open_refunds.through - open_refunds.points;

    -- What refunds of known purchases gave back, and no lot has again by their reading: lots lost it once more in
    -- between, or only a cheque states them.
    create temp table unseen on commit drop as
    select
        unreturned.*,
        cheque_lots.client_id is not null as has_cheque_lots
    from unreturned
    left join (select distinct client_id from lots where remain is null) as cheque_lots
        on cheque_lots.client_id = unreturned.client_id
    where unreturned.purchase_seen_at < unreturned.seen_at;
    if exists (select from unseen where has_cheque_lots) then
        perform refresh.ledger_returns_to_used_lots();
    end if;
    if exists (select from unseen where not has_cheque_lots) then
        perform refresh.ledger_returns_to_ended_lots();
    end if;
end;
$$;

-- Of clients with lots that only a cheque states: of the lots that their cheques had used, those that ended, or that
-- another refund may have emptied again, one that states no points.
create or replace function refresh.ledger_returns_to_used_lots()
returns void
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
begin
    drop table if exists clients, pieces, events, used;
    create temp table clients on commit drop as
    select distinct client_id from unseen where has_cheque_lots;

    create temp table pieces on commit drop as
    select
        *,
        ends_at as expires_at,
        null::numeric as refund_limit,
        null::bigint as of_cheque_id,
        false as is_told,
        row_number() over (
            partition by client_id order by seen_at, spending_rank
        )::integer as piece
    from (
        select
            lots.client_id,
            lots.component_type,
            lots.lot_id,
            lots.spending_rank,
            drops.seen_at,
            drops.points,
            lots.starts_at,
            lots.ends_at,
            case when lots.expiry_date <= seen.seen_day + 1 then 1 else 0 end as class
        from clients
        inner join lots on lots.client_id = clients.client_id
        inner join drops
            on
                drops.client_id = lots.client_id
                and drops.component_type = lots.component_type
                and drops.lot_id = lots.lot_id
                and drops.points > 0
        inner join seen on seen.seen_at = drops.seen_at
        union all
        select
            lots.client_id,
            lots.component_type,
            lots.lot_id,
            lots.spending_rank,
            lots.first_seen_at as seen_at,
            lots.added as points,
            lots.starts_at,
            lots.ends_at,
            2 as class
        from clients
        inner join lots on lots.client_id = clients.client_id and lots.remain is null
    ) as lost;

    create temp table events on commit drop as
    select
        *,
        'redeemed' as kind,
        true as is_firm,
        null::timestamptz as back_at,
        row_number() over (
            partition by client_id order by seen_at, at, cheque_id, points
        )::integer as event
    from (
        select
            cheques.client_id,
            cheques.cheque_id,
            cheques.seen_at,
            cheques.processed_at + cheques.delay as at,
            cheques.redeemed - coalesce(returned.points, 0) as points
        from clients
        inner join cheques on cheques.client_id = clients.client_id and cheques.redeemed > 0
        left join netted as returned
            on
                returned.client_id = cheques.client_id
                and returned.cheque_id = cheques.cheque_id
        union all
        select
            cheques.client_id,
            cheques.cheque_id,
            cheques.seen_at,
            cheques.processed_at + cheques.delay as at,
            -cheques.added as points
        from clients
        inner join cheques on cheques.client_id = clients.client_id and cheques.added < 0
        union all
        select
            alone.client_id,
            null as cheque_id,
            alone.seen_at,
            alone.at,
            alone.points
        from clients
        inner join alone on alone.client_id = clients.client_id and alone.kind <> 'expired'
    ) as taken
    where points > 0;

    create temp table used on commit drop as
    select
        pieces.client_id,
        events.cheque_id,
        pieces.component_type,
        pieces.lot_id,
        pieces.spending_rank,
        pieces.ends_at,
        pieces.seen_at,
        allocated.points
    from refresh.allocated(may_lack_rows => false) as allocated
    inner join pieces
        on
            pieces.client_id = allocated.client_id
            and pieces.piece = allocated.piece
            and pieces.class < 2
    inner join events
        on
            events.client_id = allocated.client_id
            and events.event = allocated.event
            and events.cheque_id is not null;

    insert into regained
    select
        client_id,
        refund_id,
        seen_at,
        back_at,
        back_day,
        component_type,
        lot_id,
        least(through, points_unseen) - (through - points) as points
    from (
        select
            *,
            sum(points) over (
                partition by client_id, refund_id order by spending_rank, lot_id, component_type
            ) as through
        from (
            select
                unseen.client_id,
                unseen.refund_id,
                unseen.seen_at,
                unseen.at as back_at,
                unseen.day as back_day,
                unseen.points as points_unseen,
                used.component_type,
                used.lot_id,
                used.spending_rank,
                least(
                    round(sum(used.points) * unseen.share, 2) - coalesce(returned.points, 0),
                    case
                        when lots.expiry_date <= seen.seen_day + 1 then unseen.points
                        else round(lots.added * taken.share, 2)
                    end
                ) as points
            from unseen
            inner join seen on seen.seen_at = unseen.seen_at
            inner join used
                on
                    used.client_id = unseen.client_id
                    and used.cheque_id = unseen.purchase_id
                    and used.seen_at < unseen.seen_at
                    and used.ends_at > unseen.at
            inner join lots
                on
                    lots.client_id = used.client_id
                    and lots.component_type = used.component_type
                    and lots.lot_id = used.lot_id
            left join (
                select client_id, component_type, lot_id, seen_at, sum(points) as points
                from returned_to_lots
                group by client_id, component_type, lot_id, seen_at
            ) as returned
                on
                    returned.client_id = unseen.client_id
                    and returned.seen_at = unseen.seen_at
                    and returned.component_type = used.component_type
                    and returned.lot_id = used.lot_id
            left join refunds_of_lots as taken
                on
                    taken.client_id = used.client_id
                    and taken.component_type = used.component_type
                    and taken.lot_id = used.lot_id
                    and taken.seen_at = unseen.seen_at
                    and taken.refunded_at > unseen.at
            where lots.expiry_date <= seen.seen_day + 1 or taken.share > 0
            group by
                unseen.client_id,
                unseen.refund_id,
                unseen.seen_at,
                unseen.at,
                unseen.day,
                unseen.points,
                unseen.share,
                used.component_type,
                used.lot_id,
                used.spending_rank,
                lots.added,
                lots.expiry_date,
                seen.seen_day,
                returned.points,
                taken.share
        ) as of_lots
        where points > 0
    ) as in_order
    where through - points < points_unseen;
end;
$$;

-- Of the other clients: lots that may have lost it as they ended, or with another refund that states no points. What
-- none of these can have lost, a lot that is not known did.
create or replace function refresh.ledger_returns_to_ended_lots()
returns void
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
begin
    drop table if exists pieces, events;
    -- At most what rows do not explain of the losses that the reading before saw.
    create temp table events on commit drop as
    with lacking as (
        select
            client_id,
            seen_at,
            sum(points) as points
        from (
            select
                client_id,
                seen_at,
                points
            from drops
            where points > 0
            union all
            select
                givers.client_id,
                givers.purchase_seen_at as seen_at,
                -returned_to_lots.points as points
            from returned_to_lots
            inner join givers
                on
                    givers.client_id = returned_to_lots.client_id
                    and givers.refund_id = returned_to_lots.refund_id
            where givers.is_sure and givers.purchase_id is not null
            union all
            select
                cheques.client_id,
                cheques.seen_at,
                coalesce(returned.points, 0) - cheques.redeemed as points
            from cheques
            left join (
                select client_id, cheque_id, sum(points) as points
                from (
                    select client_id, cheque_id, points from netted
                    union all
                    select client_id, purchase_id, points from givers
                    where is_sure
                ) as sure
                group by client_id, cheque_id
            ) as returned
                on
                    returned.client_id = cheques.client_id
                    and returned.cheque_id = cheques.cheque_id
            where cheques.redeemed > 0
            union all
            select
                client_id,
                seen_at,
                added as points
            from cheques
            where added < 0
            union all
            select
                client_id,
                seen_at,
                -points
            from alone
            where kind <> 'expired'
        ) as sides
        group by client_id, seen_at
    )

    select
        *,
        'redeemed' as kind,
        true as is_firm,
        null::timestamptz as back_at,
        row_number() over (partition by client_id order by seen_at, at, refund_id)::integer as event
    from (
        select
            unseen.client_id,
            unseen.purchase_id as cheque_id,
            unseen.refund_id,
            unseen.seen_at,
            unseen.at,
            unseen.day,
            unseen.share,
            unseen.is_told,
            least(
                unseen.points,
                lacking.points - (sum(unseen.points) over earlier - unseen.points)
            ) as points
        from unseen
        inner join lacking
            on lacking.client_id = unseen.client_id and lacking.seen_at = unseen.purchase_seen_at
        where not unseen.has_cheque_lots
        window earlier as (
            partition by unseen.client_id, unseen.purchase_seen_at
            order by unseen.at, unseen.refund_id
        )
    ) as limited
    where points > 0;

    -- Lots that may have lost it as they ended, by the first of these readings that was made then: for sure
    -- (class 0) where a burn says so. Or with a refund that the same reading first had.
    create temp table pieces on commit drop as
    with readings as (
        select
            events.client_id,
            events.seen_at as back_seen_at,
            seen.seen_day + 1 as day,
            min(events.at) as back_at,
            max(events.share) as share
        from events
        inner join seen on seen.seen_at = events.seen_at
        group by events.client_id, events.seen_at, seen.seen_day
    ),

    -- Sorted, not compared with each other: a client may have a hundred thousand rows.
    placed as (
        select
            *,
            min(back_seen_at) over (
                partition by client_id
                order by day desc, back_seen_at is null
                rows between unbounded preceding and current row
            ) as ended_by
        from (
            select
                client_id,
                day,
                back_seen_at,
                null::smallint as component_type,
                null::bigint as lot_id
            from readings
            union all
            select
                lots.client_id,
                lots.expiry_date,
                null as back_seen_at,
                lots.component_type,
                lots.lot_id
            from lots
            inner join (select distinct client_id from readings) as clients
                on clients.client_id = lots.client_id
            where lots.expiry_date is not null and lots.remain is not null
        ) as days
    ),

    left_again as (
        select
            client_id,
            component_type,
            lot_id,
            ended_by as back_seen_at,
            null::timestamptz as refunded_at,
            null::numeric as refund_share
        from placed
        where lot_id is not null
        union all
        select
            refunds_of_lots.client_id,
            refunds_of_lots.component_type,
            refunds_of_lots.lot_id,
            refunds_of_lots.seen_at as back_seen_at,
            refunds_of_lots.refunded_at,
            refunds_of_lots.share as refund_share
        from refunds_of_lots
        inner join lots
            on
                lots.client_id = refunds_of_lots.client_id
                and lots.component_type = refunds_of_lots.component_type
                and lots.lot_id = refunds_of_lots.lot_id
        inner join seen on seen.seen_at = refunds_of_lots.seen_at
        where
            lots.remain is not null
            and (lots.expiry_date <= seen.seen_day + 1) is not true
    ),

    candidates as (
        select
            lots.client_id,
            lots.component_type,
            lots.lot_id,
            lots.remain,
            lots.spending_rank,
            lots.starts_at,
            least(lots.ends_at, left_again.refunded_at) as ends_at,
            readings.back_seen_at,
            readings.share,
            round(lots.added * left_again.refund_share, 2) as refundable,
            sum(drops.points) filter (where drops.seen_at < readings.back_seen_at) as lost,
            coalesce(
                sum(drops.points) filter (where lots.expiry_date <= seen.seen_day + 1), 0
            ) as lost_at_end
        from left_again
        inner join readings
            on
                readings.client_id = left_again.client_id
                and readings.back_seen_at = left_again.back_seen_at
        inner join lots
            on
                lots.client_id = left_again.client_id
                and lots.component_type = left_again.component_type
                and lots.lot_id = left_again.lot_id
                and least(lots.ends_at, left_again.refunded_at) > readings.back_at
        inner join drops
            on
                drops.client_id = lots.client_id
                and drops.component_type = lots.component_type
                and drops.lot_id = lots.lot_id
                and drops.points > 0
        inner join seen on seen.seen_at = drops.seen_at
        group by
            lots.client_id,
            lots.component_type,
            lots.lot_id,
            lots.remain,
            lots.spending_rank,
            lots.starts_at,
            lots.ends_at,
            lots.added,
            left_again.refunded_at,
            left_again.refund_share,
            readings.back_seen_at,
            readings.share
    )

    select
        candidates.client_id,
        candidates.component_type,
        candidates.lot_id,
        candidates.starts_at,
        candidates.ends_at,
        candidates.ends_at as expires_at,
        candidates.back_seen_at as seen_at,
        losable.class,
        losable.points,
        null::numeric as refund_limit,
        null::bigint as of_cheque_id,
        false as is_told,
        row_number() over (
            partition by candidates.client_id
            order by candidates.back_seen_at, candidates.spending_rank
        )::integer as piece
    from candidates
    left join lot_burns
        on
            lot_burns.client_id = candidates.client_id
            and lot_burns.component_type = candidates.component_type
            and lot_burns.lot_id = candidates.lot_id
    left join (
        select client_id, component_type, lot_id, seen_at, sum(points) as points
        from returned_to_lots
        group by client_id, component_type, lot_id, seen_at
    ) as returned
        on
            returned.client_id = candidates.client_id
            and returned.component_type = candidates.component_type
            and returned.lot_id = candidates.lot_id
            and returned.seen_at = candidates.back_seen_at
    cross join lateral (
        select
            case when burnt.points > 0 then 0 else 1 end as class,
            case
                when burnt.points > 0 then burnt.points
                else least(
                    round(candidates.lost * candidates.share, 2) - coalesce(returned.points, 0),
                    candidates.refundable
                )
            end as points
        from (
            select lot_burns.points - candidates.lost_at_end - candidates.remain as points
        ) as burnt
    ) as losable
    where candidates.lost > 0 and losable.points > 0;

    insert into regained
    with matches as (
        select
            client_id,
            piece,
            event,
            sum(points) as points
        from refresh.allocated(may_lack_rows => false)
        group by client_id, piece, event
    )

    select
        events.client_id,
        events.refund_id,
        events.seen_at,
        events.at as back_at,
        events.day as back_day,
        parts.component_type,
        parts.lot_id,
        parts.points
    from events
    inner join (
        select
            matches.client_id,
            matches.event,
            pieces.component_type,
            pieces.lot_id,
            matches.points
        from matches
        inner join pieces on pieces.client_id = matches.client_id and pieces.piece = matches.piece
        union all
        select
            events.client_id,
            events.event,
            null as component_type,
            null as lot_id,
            events.points - coalesce(known.points, 0) as points
        from events
        left join (
            select client_id, event, sum(points) as points
            from matches
            group by client_id, event
        ) as known on known.client_id = events.client_id and known.event = events.event
        where events.is_told
    ) as parts
        on
            parts.client_id = events.client_id
            and parts.event = events.event
            and parts.points > 0;
end;
$$;
