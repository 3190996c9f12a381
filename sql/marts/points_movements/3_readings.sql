-- First step of the ledger: the rows of the clients in scope, and what each reading saw of their lots.
create or replace function refresh.ledger_readings()
returns void
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
begin
    drop table if exists
        chosen, gone, gone_first, former, cheques, lots, prices, given_back, returned_points, netted,
        givers, earlier_versions, versions, seen, changes, claimed_rises, returned_to_lots, unreturned,
        levels, drops, excesses, refunded, refunds_of_lots;
    create temp table chosen on commit drop as
    select
        coalesce(
            nullif(parameters.spending_order, 'detected'),
            (
                select findings.detected from refresh.findings
                where findings.convention = 'spending_order' and findings.is_decided
            ),
            'soonest_to_expire'
        ) as spending_order,
        parameters.spending_order <> 'detected' or exists (
            select from refresh.findings
            where findings.convention = 'spending_order' and findings.is_decided
        ) as is_order_known,
        parameters.timezone,
        parameters.burnt_bonus_source,
        rules.refunds_state_points,
        rules.silent_refunds_give_back,
        as_of.operations_day
    from mart.parameters
    cross join refresh.rules
    cross join mart.as_of;

    -- Rows that were another client's before a merge: what was seen of them there is known of them here.
    create temp table gone on commit drop as
    select
        component_type,
        operation_id,
        client_id,
        first_seen_at
    from core.operations
    where deleted_at is not null;

    create temp table gone_first on commit drop as
    select
        component_type,
        operation_id,
        min(first_seen_at) as first_seen_at
    from gone
    group by component_type, operation_id;

    create temp table former on commit drop as
    select
        lot_rows.client_id,
        gone.component_type,
        gone.operation_id,
        gone.client_id as former_client_id,
        gone.first_seen_at
    from refresh.scope_lots() as lot_rows
    inner join gone
        on
            gone.component_type = lot_rows.component_type
            and gone.operation_id = lot_rows.lot_id
            and gone.client_id <> lot_rows.client_id;

    create temp table cheques on commit drop as
    select
        cheques.*,
        least(cheques.first_seen_at, gone_first.first_seen_at) as seen_at,
        -- Cheques of one moment come one after another, and the lots of each after it.
        row_number() over (
            partition by cheques.client_id, cheques.processed_at order by cheques.cheque_id
        ) * interval '2 microseconds' as delay
    from refresh.scope_cheques() as cheques
    left join gone_first
        on
            gone_first.component_type = cheques.component_type
            and gone_first.operation_id = cheques.operation_id;

    create temp table lots on commit drop as
    select
        lot_rows.*,
        coalesce(
            (lot_rows.active_from at time zone chosen.timezone)::date, lot_rows.issue_date
        ) as active_date,
        greatest(
            (lot_rows.expires_at at time zone chosen.timezone)::date,
            case when lot_rows.expires_at is not null then lot_rows.issue_date end
        ) as expiry_date,
        greatest(
            lot_rows.active_from,
            lot_rows.issued_at + coalesce(cheques.delay, interval '0') + interval '1 microsecond'
        ) as starts_at,
        -- A lot is gone at the end of its expiry day: one whose end is a day without an hour can be used on it.
        case
            when lot_rows.expires_at is null then 'infinity'
            else greatest(
                lot_rows.expires_at
                + case
                    when (lot_rows.expires_at at time zone chosen.timezone)::time = '00:00'
                        then interval '24 hours'
                    else interval '0'
                end,
                lot_rows.issued_at + interval '1 microsecond'
            )
        end as ends_at,
        row_number() over (
            partition by lot_rows.client_id
            order by
                case
                    when chosen.spending_order = 'soonest_to_expire'
                        then coalesce(lot_rows.expires_at, 'infinity')
                end asc,
                case when chosen.spending_order = 'newest_first' then lot_rows.issued_at end desc,
                -- Of lots of one moment, those whose loss is seen come first.
                lot_rows.issued_at asc,
                lot_rows.is_told_by_cheque asc,
                case when chosen.spending_order = 'newest_first' then lot_rows.lot_id end desc,
                lot_rows.lot_id asc,
                lot_rows.component_type asc
        ) as spending_rank
    from refresh.scope_lots() as lot_rows
    cross join chosen
    left join cheques
        on
            cheques.client_id = lot_rows.client_id
            and cheques.cheque_id = lot_rows.cheque_id
    where lot_rows.added > 0;

    -- The money that is set aside for each point of the lots of purchases that were paid with money.
    create temp table prices on commit drop as
    with given as (
        select
            lots.client_id,
            lots.component_type,
            lots.lot_id,
            lots.cheque_id,
            lots.added,
            lots.added * parameters.point_value
            * (1 - coalesce(own.expected_breakage, parameters.expected_breakage)) as selling_price
        from lots
        inner join mart.dated_parameters as parameters
            on lots.issue_date between parameters.first_day and parameters.last_day
        left join refresh.source_breakage as own
            on
                own.bonus_source = lots.bonus_source
                and lots.issue_date between own.first_day and own.last_day
        where lots.cheque_id <> 0
    ),

    given_for as (
        select
            *,
            sum(selling_price) over (partition by client_id, cheque_id) as all_selling_prices
        from given
    ),

    paid as (
        select
            cheques.client_id,
            cheques.cheque_id,
            cheques.amount - cheques.redeemed * parameters.point_value as price
        from cheques
        inner join mart.dated_parameters as parameters
            on cheques.day between parameters.first_day and parameters.last_day
        where
            not cheques.is_refund
            and cheques.amount > cheques.redeemed * parameters.point_value
    )

    select
        given_for.client_id,
        given_for.component_type,
        given_for.lot_id,
        paid.price * given_for.selling_price / (paid.price + given_for.all_selling_prices)
        / given_for.added as price_of_point
    from given_for
    inner join paid
        on paid.client_id = given_for.client_id and paid.cheque_id = given_for.cheque_id
    where given_for.selling_price > 0;

    -- What refunds did to the cheque that they give back, as far as they state it.
    create temp table given_back on commit drop as
    select
        refunds.client_id,
        refunds.parent_id as cheque_id,
        sum(-refunds.added) as points_taken
    from cheques as refunds
    where refunds.is_refund and refunds.parent_id is not null
    group by refunds.client_id, refunds.parent_id;

    -- What refunds say that they gave back of what a cheque redeemed. All refunds of a cheque together give
    -- back no more than that: `within` is what counts of each, in their order.
    create temp table returned_points on commit drop as
    select
        refunded.*,
        least(points, greatest(redeemed - (so_far - points), 0)) as within
    from (
        select
            cheques.client_id,
            cheques.day,
            cheques.processed_at + cheques.delay as at,
            cheques.seen_at,
            cheques.redeemed,
            cheques.cheque_id,
            cheques.pos_id,
            cheques.partner_name,
            refunds.cheque_id as refund_id,
            refunds.processed_at + refunds.delay as back_at,
            refunds.day as back_day,
            refunds.seen_at as back_seen_at,
            least(1, coalesce(abs(refunds.amount) / nullif(abs(cheques.amount), 0), 1)) as share,
            -refunds.redeemed as points,
            sum(-refunds.redeemed) over (
                partition by refunds.client_id, refunds.parent_id
                order by refunds.processed_at, refunds.cheque_id
            ) as so_far
        from cheques as refunds
        inner join cheques
            on
                cheques.client_id = refunds.client_id
                and cheques.cheque_id = refunds.parent_id
        where refunds.redeemed < 0 and cheques.redeemed > 0
    ) as refunded;

    -- Of these, what one reading had together with the purchase: no lot shows it, for sure.
    create temp table netted on commit drop as
    select client_id, cheque_id, sum(within) as points
    from returned_points
    where seen_at = back_seen_at
    group by client_id, cheque_id;

    -- Refunds that gave points back, or may have, of what other readings had: those that state points, and those that
    -- state none. points: the most that they gave back, is_sure: no less. turn: of several, those that are known best come first.
    create temp table givers on commit drop as
    select
        refunds.client_id,
        refunds.cheque_id as refund_id,
        refunds.day,
        refunds.processed_at + refunds.delay as at,
        refunds.seen_at,
        refunds.pos_id,
        refunds.partner_name,
        refunds.redeemed < 0 as is_told,
        refunds.redeemed < 0
        or (chosen.silent_refunds_give_back is true and purchases.cheque_id is not null) as is_sure,
        purchases.cheque_id as purchase_id,
        purchases.seen_at as purchase_seen_at,
        least(
            1, coalesce(abs(refunds.amount) / nullif(abs(purchases.amount), 0), 1)
        ) as share,
        case
            when returned_points.refund_id is not null then 0
            when refunds.redeemed < 0 then 1
            when purchases.cheque_id is not null then 3
            else 4
        end as turn,
        case
            when refunds.redeemed < 0 then coalesce(returned_points.within, -refunds.redeemed)
            when purchases.cheque_id is null then abs(refunds.amount)
            else round(
                purchases.redeemed * least(
                    1, coalesce(abs(refunds.amount) / nullif(abs(purchases.amount), 0), 1)
                ), 2
            )
        end as points
    from cheques as refunds
    cross join chosen
    left join cheques as purchases
        on
            purchases.client_id = refunds.client_id
            and purchases.cheque_id = refunds.parent_id
            and (purchases.redeemed > 0 or refunds.redeemed >= 0)
    left join returned_points
        on
            returned_points.client_id = refunds.client_id
            and returned_points.refund_id = refunds.cheque_id
    where
        refunds.is_refund
        and case
            when refunds.redeemed < 0 then purchases.seen_at is distinct from refunds.seen_at
            else
                chosen.silent_refunds_give_back is distinct from false
                and (
                    purchases.cheque_id is null
                    or (purchases.redeemed > 0 and purchases.seen_at < refunds.seen_at)
                )
        end;

    create temp table earlier_versions on commit drop as
    select
        client_id,
        component_type,
        operation_id as lot_id,
        added,
        coalesce(remain, 0) as remain,
        valid_from as seen_at
    from refresh.scope_history();

    -- Whatever a reading saw of the lots that have lost something, or that have more than was given; also of those that
    -- are whole again.
    create temp table versions on commit drop as
    with changed as (
        select
            lots.client_id,
            lots.component_type,
            lots.lot_id,
            lots.added,
            lots.remain,
            lots.synced_at
        from lots
        left join (
            select distinct
                client_id,
                component_type,
                lot_id
            from earlier_versions
            where remain <> added
        ) as changed_once
            on
                changed_once.client_id = lots.client_id
                and changed_once.component_type = lots.component_type
                and changed_once.lot_id = lots.lot_id
        where
            lots.remain <> lots.added
            or (lots.remain is not null and changed_once.lot_id is not null)
    )

    select
        client_id,
        component_type,
        lot_id,
        added,
        remain,
        synced_at as seen_at
    from changed
    union all
    select
        lots.client_id,
        lots.component_type,
        lots.lot_id,
        lots.added,
        earlier.remain,
        earlier.seen_at
    from earlier_versions as earlier
    inner join changed as lots
        on
            lots.client_id = earlier.client_id
            and lots.component_type = earlier.component_type
            and lots.lot_id = earlier.lot_id
    union all
    select
        lots.client_id,
        lots.component_type,
        lots.lot_id,
        lots.added,
        coalesce(history.remain, 0) as remain,
        history.valid_from as seen_at
    from former
    inner join changed as lots
        on
            lots.client_id = former.client_id
            and lots.component_type = former.component_type
            and lots.lot_id = former.operation_id
    inner join history.operations as history
        on
            history.client_id = former.former_client_id
            and history.component_type = former.component_type
            and history.operation_id = former.operation_id
    where history.added > 0 and history.deleted_at is null;

    -- There are few publishes and many rows. Its rows tell of the last day of the reading that it was of. open_day: the
    -- first day whose month no earlier reading had shown to its end.
    create temp table seen on commit drop as
    select
        moments.seen_at,
        coalesce(
            max(readings.last_day),
            (select min(first.last_day) from mart.readings as first where first.feed = 'operations')
        ) as seen_day,
        coalesce(
            date_trunc('month', max(readings.earlier_day) + interval '1 day')::date, '-infinity'
        ) as open_day
    from (
        select seen_at from versions
        union
        select seen_at from cheques
        where is_refund
    ) as moments
    left join (
        select
            started_at,
            last_day,
            lag(last_day) over (order by last_day) as earlier_day
        from mart.readings
        where feed = 'operations'
    ) as readings
        on readings.started_at <= moments.seen_at
    group by moments.seen_at;

    -- What refunds gave back to lots: these have more again by the reading that had the refund. It is booked
    -- there, so that what an earlier reading saw stays as it was.
    create temp table changes on commit drop as
    select
        versions.client_id,
        versions.component_type,
        versions.lot_id,
        versions.seen_at,
        versions.added,
        least(versions.added, versions.remain) as level,
        least(versions.added, versions.remain) - coalesce(
            lag(least(versions.added, versions.remain)) over (
                partition by versions.client_id, versions.component_type, versions.lot_id
                order by versions.seen_at
            ), versions.added
        ) as points
    from versions;

    create temp table claimed_rises on commit drop as
    -- In turn: refunds of known purchases, of unknown ones, what vanished rows had taken, and refunds that state no
    -- points.
    with claims as (
        select
            client_id,
            seen_at,
            turn,
            refund_id,
            at,
            points
        from givers
        union all
        select
            client_id,
            deleted_at as seen_at,
            2 as turn,
            null as refund_id,
            null as at,
            abs(coalesce(redeemed, 0)) + greatest(-coalesce(added, 0), 0) as points
        from refresh.scope_vanished()
    ),

    claimed as (
        select
            *,
            sum(points) over in_turn - points as before,
            sum(points) over in_turn as through
        from claims
        window in_turn as (
            partition by client_id, seen_at
            order by turn, at, refund_id
            rows between unbounded preceding and current row
        )
    ),

    -- A refund of a known purchase gave back to lots that had lost points with it, as far as these have more.
    risen as (
        select
            changes.*,
            sum(changes.points) over in_order - changes.points as before,
            sum(changes.points) over in_order as through
        from changes
        inner join lots
            on
                lots.client_id = changes.client_id
                and lots.component_type = changes.component_type
                and lots.lot_id = changes.lot_id
        left join (
            select distinct
                falls.client_id,
                falls.component_type,
                falls.lot_id,
                givers.seen_at
            from givers
            inner join changes as falls
                on
                    falls.client_id = givers.client_id
                    and falls.seen_at = givers.purchase_seen_at
                    and falls.points < 0
        ) as fallen
            on
                fallen.client_id = changes.client_id
                and fallen.component_type = changes.component_type
                and fallen.lot_id = changes.lot_id
                and fallen.seen_at = changes.seen_at
        where changes.points > 0
        window in_order as (
            partition by changes.client_id, changes.seen_at
            order by fallen.lot_id is null, lots.spending_rank
        )
    )

    select
        risen.client_id,
        risen.component_type,
        risen.lot_id,
        risen.seen_at,
        claimed.refund_id,
        least(claimed.through, risen.through) - greatest(claimed.before, risen.before) as points
    from claimed
    inner join risen
        on
            risen.client_id = claimed.client_id
            and risen.seen_at = claimed.seen_at
            and risen.before < claimed.through
            and risen.through > claimed.before;

    create temp table returned_to_lots on commit drop as
    select
        givers.client_id,
        givers.day,
        givers.refund_id,
        givers.is_told,
        givers.pos_id,
        givers.partner_name,
        claimed_rises.component_type,
        claimed_rises.lot_id,
        claimed_rises.seen_at,
        claimed_rises.points
    from claimed_rises
    inner join givers
        on
            givers.client_id = claimed_rises.client_id
            and givers.refund_id = claimed_rises.refund_id;

    -- What refunds gave back for sure, and no lot has again by their reading.
    create temp table unreturned on commit drop as
    select
        givers.client_id,
        givers.refund_id,
        givers.day,
        givers.at,
        givers.seen_at,
        givers.purchase_id,
        givers.purchase_seen_at,
        givers.share,
        givers.is_told,
        givers.points - coalesce(sum(returned_to_lots.points), 0) as points
    from givers
    left join returned_to_lots
        on
            returned_to_lots.client_id = givers.client_id
            and returned_to_lots.refund_id = givers.refund_id
    where givers.is_sure
    group by
        givers.client_id,
        givers.refund_id,
        givers.day,
        givers.at,
        givers.seen_at,
        givers.purchase_id,
        givers.purchase_seen_at,
        givers.share,
        givers.is_told,
        givers.points
    having givers.points > coalesce(sum(returned_to_lots.points), 0);

    -- What rose again was not lost for good, if no reading in between had shown the end of a month, or if a row
    -- vanished: then the most that was still there later counts, but for what is known to have come back since. Few lots
    -- have points again.
    create temp table levels on commit drop as
    with rising as (
        select distinct
            client_id,
            component_type,
            lot_id
        from changes
        where points > 0
    ),

    of_readings as (
        select
            changes.*,
            seen.open_day,
            coalesce(sum(returned.points) over until_then, 0) as back,
            coalesce(sum(returned.freed) over until_then, 0) as freed,
            coalesce(sum(returned.freed) over of_lot, 0) as all_freed
        from changes
        inner join rising
            on
                rising.client_id = changes.client_id
                and rising.component_type = changes.component_type
                and rising.lot_id = changes.lot_id
        inner join seen on seen.seen_at = changes.seen_at
        left join (
            select
                client_id,
                component_type,
                lot_id,
                seen_at,
                sum(points) filter (where refund_id is not null) as points,
                sum(points) filter (where refund_id is null) as freed
            from claimed_rises
            group by client_id, component_type, lot_id, seen_at
        ) as returned
            on
                returned.client_id = changes.client_id
                and returned.component_type = changes.component_type
                and returned.lot_id = changes.lot_id
                and returned.seen_at = changes.seen_at
        window
            of_lot as (partition by changes.client_id, changes.component_type, changes.lot_id),
            until_then as (
                partition by changes.client_id, changes.component_type, changes.lot_id
                order by changes.seen_at
            )
    )

    select
        client_id,
        component_type,
        lot_id,
        added,
        seen_at,
        back,
        greatest(kept_in_month, least(kept, kept_in_month + all_freed - freed)) as kept
    from (
        select
            *,
            max(level - back) over (
                partition by client_id, component_type, lot_id
                order by seen_at desc
                rows between unbounded preceding and current row
            ) as kept,
            max(level - back) over (
                partition by client_id, component_type, lot_id, open_day
                order by seen_at desc
                rows between unbounded preceding and current row
            ) as kept_in_month
        from of_readings
    ) as in_months;

    -- Less than nothing was lost where a lot has points again, and no row says why.
    create temp table drops on commit drop as
    select
        client_id,
        component_type,
        lot_id,
        seen_at,
        kept + back as level,
        coalesce(
            lag(kept) over (partition by client_id, component_type, lot_id order by seen_at), added
        ) - kept as points
    from levels
    union all
    select
        changes.client_id,
        changes.component_type,
        changes.lot_id,
        changes.seen_at,
        changes.level,
        -changes.points as points
    from changes
    left join (
        select distinct
            client_id,
            component_type,
            lot_id
        from levels
    ) as rising
        on
            rising.client_id = changes.client_id
            and rising.component_type = changes.component_type
            and rising.lot_id = changes.lot_id
    where rising.lot_id is null;

    -- More remains of a lot than was given: by how much, reading by reading. A change of another field is
    -- another version of the lot, and moves none of it.
    create temp table excesses on commit drop as
    select *
    from (
        select
            versions.client_id,
            versions.component_type,
            versions.lot_id,
            versions.seen_at,
            greatest(versions.remain - versions.added, 0) - coalesce(
                lag(greatest(versions.remain - versions.added, 0)) over (
                    partition by versions.client_id, versions.component_type, versions.lot_id
                    order by versions.seen_at
                ), 0
            ) as points
        from versions
        inner join lots
            on
                lots.client_id = versions.client_id
                and lots.component_type = versions.component_type
                and lots.lot_id = versions.lot_id
        where lots.remain > lots.added
    ) as changes
    where points <> 0;

    -- Refunds that state no points: they may have taken some from the lots of their cheque, each its
    -- share of what the cheque had cost. Where refunds state their points, such a refund took none.
    create temp table refunded on commit drop as
    select
        lots.client_id,
        lots.component_type,
        lots.lot_id,
        refunds.seen_at,
        refunds.cheque_id,
        refunds.processed_at as refunded_at,
        refunds.day as refund_day,
        least(1, coalesce(abs(refunds.amount) / nullif(abs(cheques.amount), 0), 1)) as share
    from cheques as refunds
    inner join chosen on not chosen.refunds_state_points
    inner join given_back
        on
            given_back.client_id = refunds.client_id
            and given_back.cheque_id = refunds.parent_id
            and given_back.points_taken = 0
    inner join lots
        on
            lots.client_id = refunds.client_id
            and lots.cheque_id = refunds.parent_id
            and refunds.processed_at < lots.ends_at
    left join cheques
        on cheques.client_id = refunds.client_id and cheques.cheque_id = refunds.parent_id
    where refunds.is_refund and refunds.parent_id is not null;

    -- Those that one reading first had. is_full: with those of earlier readings.
    create temp table refunds_of_lots on commit drop as
    select
        client_id,
        component_type,
        lot_id,
        seen_at,
        max(refunded_at) as refunded_at,
        min(refund_day) as refund_day,
        sum(share) as share,
        round(
            sum(sum(share)) over (
                partition by client_id, component_type, lot_id order by seen_at
            ), 4
        ) >= 1 as is_full
    from refunded
    group by client_id, component_type, lot_id, seen_at;
end;
$$;
