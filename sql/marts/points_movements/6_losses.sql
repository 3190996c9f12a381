-- Fourth step: what lots lost, what burns took of it, and what else was taken.
create or replace function refresh.ledger_losses()
returns void
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
begin
    drop table if exists
        losses, burnt_losses, day_burns, reserved, takings, claws, vanished;
    -- What the lots lost, reading by reading, and what else may have been done to them.
    create temp table losses on commit drop as
    select
        lots.client_id,
        lots.component_type,
        lots.lot_id,
        lots.spending_rank,
        lots.expiry_date,
        lots.cheque_id,
        drops.seen_at,
        greatest(seen.seen_day, lots.issue_date) as seen_day,
        drops.points,
        lots.expiry_date <= seen.seen_day + 1 as is_ending,
        refunded.refund_day,
        case when drops.level = 0 and refunded.is_full then refunded.refunded_at end
            as refunded_at,
        case when refunded.share < 1 then round(lots.added * refunded.share, 2) else drops.points end
            as refund_limit,
        0 as given_back_by,
        lots.starts_at
    from drops
    inner join lots
        on
            lots.client_id = drops.client_id
            and lots.component_type = drops.component_type
            and lots.lot_id = drops.lot_id
    inner join seen on seen.seen_at = drops.seen_at
    left join refunds_of_lots as refunded
        on
            refunded.client_id = drops.client_id
            and refunded.component_type = drops.component_type
            and refunded.lot_id = drops.lot_id
            and refunded.seen_at = drops.seen_at
    where drops.points > 0
    union all
    select
        lots.client_id,
        lots.component_type,
        lots.lot_id,
        lots.spending_rank,
        lots.expiry_date,
        lots.cheque_id,
        regained.seen_at,
        regained.back_day as seen_day,
        regained.points,
        refunded.refund_day is null
        or coalesce(lots.expiry_date <= seen.seen_day + 1, false) as is_ending,
        refunded.refund_day,
        case when refunded.is_full then refunded.refunded_at end as refunded_at,
        least(regained.points, round(lots.added * refunded.share, 2)) as refund_limit,
        regained.refund_id as given_back_by,
        greatest(lots.starts_at, regained.back_at) as starts_at
    from regained
    inner join lots
        on
            lots.client_id = regained.client_id
            and lots.component_type = regained.component_type
            and lots.lot_id = regained.lot_id
    inner join seen on seen.seen_at = regained.seen_at
    left join refunds_of_lots as refunded
        on
            refunded.client_id = regained.client_id
            and refunded.component_type = regained.component_type
            and refunded.lot_id = regained.lot_id
            and refunded.seen_at = regained.seen_at
            and refunded.refunded_at > regained.back_at;

    create temp table burnt_losses on commit drop as
    select
        losses.*,
        least(
            losses.points,
            greatest(
                0,
                lot_burns.points - coalesce(lots.remain, 0) - coalesce(
                    sum(losses.points) over (
                        partition by losses.client_id, losses.component_type, losses.lot_id
                        order by losses.seen_at desc, losses.given_back_by desc
                        rows between unbounded preceding and 1 preceding
                    ), 0
                )
            )
        ) as burnt
    from losses
    inner join lot_burns
        on
            lot_burns.client_id = losses.client_id
            and lot_burns.component_type = losses.component_type
            and lot_burns.lot_id = losses.lot_id
    inner join lots
        on
            lots.client_id = losses.client_id
            and lots.component_type = losses.component_type
            and lots.lot_id = losses.lot_id
    where losses.is_ending;

    create temp table day_burns on commit drop as
    select
        burns.client_id,
        coalesce(same_day.expiry_date, day_before.expiry_date) as expiry_date,
        burns.day,
        burns.at,
        burns.seen_at,
        burns.points
    from (
        select
            alone.client_id,
            alone.day,
            max(alone.at) as at,
            max(alone.seen_at) as seen_at,
            sum(alone.points) as points
        from alone
        left join lots
            on
                lots.client_id = alone.client_id
                and lots.lot_id = alone.lot_id
                and not lots.is_told_by_cheque
                and lots.expiry_date is not null
        where alone.kind = 'expired' and lots.lot_id is null
        group by alone.client_id, alone.day
    ) as burns
    left join (
        select distinct client_id, expiry_date from losses where is_ending
    ) as same_day
        on same_day.client_id = burns.client_id and same_day.expiry_date = burns.day
    left join (
        select distinct client_id, expiry_date from losses where is_ending
    ) as day_before
        on day_before.client_id = burns.client_id and day_before.expiry_date = burns.day - 1;

    -- What a burn of the lot does not cover was taken by something else.
    create temp table reserved on commit drop as
    select
        losses.*,
        losses.is_ending and coalesce(burnt_losses.burnt, 0) = 0 as may_have_expired,
        coalesce(burnt_losses.burnt, 0) + least(
            losses.points - coalesce(burnt_losses.burnt, 0),
            greatest(
                0,
                coalesce(of_day.points, 0) - coalesce(
                    sum(losses.points - coalesce(burnt_losses.burnt, 0)) over (
                        partition by losses.client_id, losses.expiry_date, losses.is_ending
                        order by losses.spending_rank, losses.seen_at, losses.given_back_by
                        rows between unbounded preceding and 1 preceding
                    ), 0
                )
            )
        ) as burnt
    from losses
    left join burnt_losses
        on
            burnt_losses.client_id = losses.client_id
            and burnt_losses.component_type = losses.component_type
            and burnt_losses.lot_id = losses.lot_id
            and burnt_losses.seen_at = losses.seen_at
            and burnt_losses.given_back_by = losses.given_back_by
    left join (
        select client_id, expiry_date, sum(points) as points
        from day_burns
        where expiry_date is not null
        group by client_id, expiry_date
    ) as of_day
        on
            of_day.client_id = losses.client_id
            and of_day.expiry_date = losses.expiry_date
            and losses.is_ending;

    -- Every taking of points that a row states: told is what its row states, points what has to be matched.
    create temp table takings on commit drop as
    select
        named.*,
        row_number() over (
            partition by named.client_id
            order by
                named.at,
                named.kind,
                named.cheque_id,
                named.told,
                named.seen_at,
                named.pos_id,
                named.partner_name
        ) as taking
    from (
        select
            cheques.client_id,
            'redeemed' as kind,
            cheques.day,
            cheques.processed_at + cheques.delay as at,
            cheques.seen_at,
            cheques.redeemed as told,
            cheques.redeemed - coalesce(netted.points, 0) as points,
            cheques.cheque_id,
            null::bigint as of_cheque_id,
            cheques.pos_id,
            cheques.partner_name
        from cheques
        left join netted
            on netted.client_id = cheques.client_id and netted.cheque_id = cheques.cheque_id
        where cheques.redeemed > 0
        union all
        select
            client_id,
            'clawed_back' as kind,
            day,
            processed_at + delay as at,
            seen_at,
            -added as told,
            -added as points,
            cheque_id,
            parent_id as of_cheque_id,
            pos_id,
            partner_name
        from cheques
        where added < 0
        union all
        select
            client_id,
            kind,
            day,
            at,
            seen_at,
            points as told,
            points,
            null as cheque_id,
            null as of_cheque_id,
            pos_id,
            partner_name
        from alone
        where kind <> 'expired' and points > 0
        union all
        -- Of burns, what no lot that ended can have lost.
        select
            lot_burns.client_id,
            'expired' as kind,
            lot_burns.day,
            lot_burns.at,
            lot_burns.seen_at,
            lot_burns.points - coalesce(ended.points, 0) - ended_lots.remain as told,
            lot_burns.points - coalesce(ended.points, 0) - ended_lots.remain as points,
            null as cheque_id,
            null as of_cheque_id,
            null as pos_id,
            null as partner_name
        from lot_burns
        inner join (
            select
                lots.client_id,
                lots.component_type,
                lots.lot_id,
                case when lots.expiry_date <= chosen.operations_day then coalesce(lots.remain, 0)
                    else 0
                end as remain
            from lots
            cross join chosen
        ) as ended_lots
            on
                ended_lots.client_id = lot_burns.client_id
                and ended_lots.component_type = lot_burns.component_type
                and ended_lots.lot_id = lot_burns.lot_id
        left join (
            select client_id, component_type, lot_id, sum(points) as points
            from reserved
            where is_ending
            group by client_id, component_type, lot_id
        ) as ended
            on
                ended.client_id = lot_burns.client_id
                and ended.component_type = lot_burns.component_type
                and ended.lot_id = lot_burns.lot_id
        where lot_burns.points > coalesce(ended.points, 0) + ended_lots.remain
        union all
        select
            day_burns.client_id,
            'expired' as kind,
            day_burns.day,
            day_burns.at,
            day_burns.seen_at,
            day_burns.points - least(day_burns.points, coalesce(ended.points, 0)) as told,
            day_burns.points - least(day_burns.points, coalesce(ended.points, 0)) as points,
            null as cheque_id,
            null as of_cheque_id,
            null as pos_id,
            null as partner_name
        from day_burns
        left join (
            select client_id, expiry_date, sum(burnt) as points
            from reserved
            where is_ending
            group by client_id, expiry_date
        ) as ended
            on
                ended.client_id = day_burns.client_id
                and ended.expiry_date = day_burns.expiry_date
        where day_burns.points > coalesce(ended.points, 0)
    ) as named;

    -- What a refund says that it took is taken from the lots of its cheque first: from those that did not
    -- just expire, then that no redemption can have used before, then that are redeemed last.
    create temp table claws on commit drop as
    select
        taken.client_id,
        taken.taking,
        lost.component_type,
        lost.lot_id,
        lost.seen_at,
        lost.given_back_by,
        least(taken.through, lost.through) - greatest(taken.before, lost.before) as points
    from (
        select
            client_id,
            taking,
            of_cheque_id,
            seen_at,
            sum(points) over of_cheque - points as before,
            sum(points) over of_cheque as through
        from takings
        where of_cheque_id is not null and kind = 'clawed_back'
        window of_cheque as (partition by client_id, of_cheque_id, seen_at order by taking)
    ) as taken
    inner join (
        select
            reserved.client_id,
            reserved.component_type,
            reserved.lot_id,
            reserved.cheque_id,
            reserved.seen_at,
            reserved.given_back_by,
            sum(part.points) over of_cheque - part.points as before,
            sum(part.points) over of_cheque as through
        from reserved
        inner join lots
            on
                lots.client_id = reserved.client_id
                and lots.component_type = reserved.component_type
                and lots.lot_id = reserved.lot_id
        inner join (
            select
                takings.client_id,
                takings.of_cheque_id,
                takings.seen_at,
                max(takings.at) as at,
                coalesce(
                    sum(abs(refunds.amount)) / nullif(abs(max(cheques.amount)), 0), 1
                ) as share
            from takings
            inner join cheques as refunds
                on
                    refunds.client_id = takings.client_id
                    and refunds.cheque_id = takings.cheque_id
            left join cheques
                on
                    cheques.client_id = takings.client_id
                    and cheques.cheque_id = takings.of_cheque_id
            where takings.of_cheque_id is not null and takings.kind = 'clawed_back'
            group by takings.client_id, takings.of_cheque_id, takings.seen_at
        ) as refunds
            on
                refunds.client_id = reserved.client_id
                and refunds.of_cheque_id = reserved.cheque_id
                and refunds.seen_at = reserved.seen_at
        -- Of each lot its share, as the refund gives back a share of the cheque.
        cross join lateral (
            select
                least(
                    reserved.points - reserved.burnt, round(lots.added * refunds.share, 2)
                ) as points
        ) as part
        window of_cheque as (
            partition by reserved.client_id, reserved.cheque_id, reserved.seen_at
            order by
                reserved.may_have_expired is true asc,
                lots.starts_at > refunds.at desc,
                reserved.spending_rank desc,
                reserved.given_back_by asc
        )
    ) as lost
        on
            lost.client_id = taken.client_id
            and lost.cheque_id = taken.of_cheque_id
            and lost.seen_at = taken.seen_at
            and lost.before < taken.through
            and lost.through > taken.before
    union all
    select
        taken.client_id,
        taken.taking,
        lots.component_type,
        lots.lot_id,
        null as seen_at,
        0 as given_back_by,
        least(taken.through, lots.added) - taken.before as points
    from (
        select
            client_id,
            taking,
            of_cheque_id,
            sum(points) over of_cheque - points as before,
            sum(points) over of_cheque as through
        from takings
        where of_cheque_id is not null and kind = 'clawed_back'
        window of_cheque as (partition by client_id, of_cheque_id order by taking)
    ) as taken
    inner join lots
        on
            lots.client_id = taken.client_id
            and lots.cheque_id = taken.of_cheque_id
            and lots.remain is null
            and lots.added > taken.before;

    -- Rows that moved to another client (merged cards) or to another day have not vanished.
    create temp table vanished on commit drop as
    select
        gone.client_id,
        gone.component_type,
        gone.operation_id,
        gone.operation_date as day,
        gone.processed_at as at,
        gone.first_seen_at as seen_at,
        gone.deleted_at as gone_at,
        gone.pos_id,
        mart.display_text(gone.partner_name) as partner_name,
        case
            when
                gone.bonus_id <> 0
                or (coalesce(gone.cheque_id, 0) = 0 and coalesce(gone.order_id, 0) = 0)
                then greatest(gone.added, 0) - greatest(coalesce(gone.remain, 0), 0)
            else 0
        end as given,
        case
            when coalesce(gone.added, 0) <= 0 or coalesce(gone.bonus_id, 0) = 0
                then greatest(coalesce(gone.redeemed, 0), 0)
            else 0
        end + greatest(-coalesce(gone.added, 0), 0) as taken
    from refresh.scope_vanished() as gone;
end;
$$;
