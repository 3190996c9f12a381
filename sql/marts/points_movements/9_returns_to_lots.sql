-- Last step: the lots that a cheque redeemed, and a refund of it gave back to. They lost points by one reading, and
-- had them again by a later one; without a reading in between, they are not known.
create or replace function refresh.ledger_returns_to_lots()
returns void
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
declare
    returned record;
    dip record;
    rest numeric;
    part numeric;
begin
    drop table if exists unplaced, dips, returned_parts;
    -- Redemptions and refunds of which no lot is known.
    create temp table unplaced on commit drop as
    select
        movements.client_id,
        movements.cheque_id,
        min(movements.pos_id) as pos_id,
        min(movements.partner_name) as partner_name,
        sum(abs(movements.points)) as points
    from movements
    inner join (
        select
            client_id,
            cheque_id,
            -1 as side
        from returned_points
        where seen_at < back_seen_at
        union
        select
            client_id,
            refund_id,
            1 as side
        from returned_points
        where seen_at < back_seen_at
    ) as sides
        on
            sides.client_id = movements.client_id
            and sides.cheque_id = movements.cheque_id
            and sides.side = sign(movements.points)
    where movements.kind = 'redeemed' and movements.lot_id is null
    group by movements.client_id, movements.cheque_id
    having count(*) = 1;
    if not exists (select from unplaced) then
        return;
    end if;
    create index on unplaced (client_id, cheque_id);

    -- What a lot lost with a reading, or had again, and no row of that reading is known to have taken or given: the
    -- same loss may have been matched with a row of a later reading that used what was left of the lot.
    create temp table dips on commit drop as
    with clients as (
        select distinct client_id
        from unplaced
    )

    select
        changes.client_id,
        changes.component_type,
        changes.lot_id,
        changes.seen_at,
        lots.spending_rank,
        lots.starts_at,
        greatest(-sum(changes.points), 0) as fell,
        greatest(sum(changes.points), 0) as rose
    from (
        select
            client_id,
            component_type,
            lot_id,
            seen_at,
            least(added, remain) - coalesce(
                lag(least(added, remain)) over (
                    partition by client_id, component_type, lot_id order by seen_at
                ), added
            ) as points
        from versions
        inner join clients using (client_id)
        union all
        select
            movements.client_id,
            movements.component_type,
            movements.lot_id,
            cheques.seen_at,
            -movements.points as points
        from movements
        inner join clients
            on clients.client_id = movements.client_id
        inner join cheques
            on
                cheques.client_id = movements.client_id
                and cheques.cheque_id = movements.cheque_id
        where movements.kind <> 'added' and movements.lot_id is not null
    ) as changes
    inner join lots
        on
            lots.client_id = changes.client_id
            and lots.component_type = changes.component_type
            and lots.lot_id = changes.lot_id
    group by
        changes.client_id, changes.component_type, changes.lot_id, changes.seen_at,
        lots.spending_rank, lots.starts_at
    having sum(changes.points) <> 0;
    create index on dips (client_id, seen_at);

    create temp table returned_parts (
        client_id bigint,
        cheque_id bigint,
        refund_id bigint,
        component_type smallint,
        lot_id bigint,
        points numeric
    ) on commit drop;
    create index on returned_parts (client_id, cheque_id);

    for returned in
        select returned_points.*
        from returned_points
        inner join unplaced
            on
                unplaced.client_id = returned_points.client_id
                and unplaced.cheque_id = returned_points.refund_id
        where
            returned_points.seen_at < returned_points.back_seen_at
            and returned_points.at < returned_points.back_at
        order by returned_points.client_id, returned_points.back_at, returned_points.refund_id
    loop
        rest := least(
            returned.within,
            (
                select points from unplaced
                where client_id = returned.client_id and cheque_id = returned.cheque_id
            ) - (
                select coalesce(sum(points), 0) from returned_parts
                where client_id = returned.client_id and cheque_id = returned.cheque_id
            ),
            (
                select points from unplaced
                where client_id = returned.client_id and cheque_id = returned.refund_id
            )
        );
        continue when rest is null or rest <= 0;
        for dip in
            select
                falls.component_type,
                falls.lot_id,
                least(falls.fell, rises.rose) as points
            from dips as falls
            inner join dips as rises
                on
                    rises.component_type = falls.component_type
                    and rises.lot_id = falls.lot_id
            where
                falls.client_id = returned.client_id
                and falls.seen_at = returned.seen_at
                and falls.fell > 0
                and falls.starts_at <= returned.at
                and rises.client_id = returned.client_id
                and rises.seen_at = returned.back_seen_at
                and rises.rose > 0
            order by falls.spending_rank
        loop
            exit when rest = 0;
            part := least(rest, dip.points);
            rest := rest - part;
            insert into returned_parts
            values (
                returned.client_id, returned.cheque_id, returned.refund_id, dip.component_type,
                dip.lot_id, part
            );
            update dips
            set
                fell = fell - case when seen_at = returned.seen_at then part else 0 end,
                rose = rose - case when seen_at = returned.back_seen_at then part else 0 end
            where
                client_id = returned.client_id
                and seen_at in (returned.seen_at, returned.back_seen_at)
                and component_type = dip.component_type
                and lot_id = dip.lot_id;
        end loop;
    end loop;
    if not exists (select from returned_parts) then
        return;
    end if;

    update movements
    set points = movements.points - sign(movements.points) * placed.points
    from (
        select client_id, cheque_id, sum(points) as points
        from (
            select client_id, cheque_id, points from returned_parts
            union all
            select client_id, refund_id, points from returned_parts
        ) as sides
        group by client_id, cheque_id
    ) as placed
    where
        placed.client_id = movements.client_id
        and placed.cheque_id = movements.cheque_id
        and movements.kind = 'redeemed'
        and movements.lot_id is null;

    delete from movements
    where kind = 'redeemed' and lot_id is null and points = 0;

    insert into movements (
        movement_date, client_id, kind, points, pos_id, partner_name, component_type, lot_id,
        cheque_id
    )
    select
        cheques.day as movement_date,
        parts.client_id,
        'redeemed' as kind,
        sum(parts.points) as points,
        unplaced.pos_id,
        unplaced.partner_name,
        parts.component_type,
        parts.lot_id,
        parts.cheque_id
    from (
        select client_id, cheque_id, component_type, lot_id, -points as points
        from returned_parts
        union all
        select client_id, refund_id as cheque_id, component_type, lot_id, points
        from returned_parts
    ) as parts
    inner join unplaced
        on unplaced.client_id = parts.client_id and unplaced.cheque_id = parts.cheque_id
    inner join cheques
        on cheques.client_id = parts.client_id and cheques.cheque_id = parts.cheque_id
    group by
        cheques.day,
        parts.client_id,
        unplaced.pos_id,
        unplaced.partner_name,
        parts.component_type,
        parts.lot_id,
        parts.cheque_id;
end;
$$;
