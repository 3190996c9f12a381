-- question: which movements made the points that are outstanding?
-- grain: movement: what a row of the source did to one lot, or what is known of a lot without a row
-- formula: the points ledger. Facts: lots (`added`), redemptions and refunds by cheques (once each)
--   and by bonus rows that stand alone, deductions, burns, and each `remain` that a reading saw. An
--   allocation: which lots a redemption took from. What a lot lost between two readings is matched
--   with what rows of the same readings took, in the spending order (mart.conventions), within the
--   time in which the lot could be used; what remains of it is `clawed_back` on the day of a silent
--   refund of its cheque, `expired` on its expiry day, or `unexplained` on the last day of the reading
--   that saw it. A lot that only a cheque tells has no remain: it keeps what is not redeemed. Points
--   are given positive and taken negative: a refund that gives points back is `redeemed` with a plus.
--   `corrected`: deductions, and rows that vanished although their points had moved. All movements of
--   a client sum up to what remains of its lots.

-- Matches what lots of one client lost (pieces) with what rows took (events), in hundredths.
-- Pieces come by bucket (the publish that showed the loss) and spending order, events by bucket and
-- time, those that are firm first. Class of a piece: 0 was taken by some row, for sure; 1 may have
-- expired or gone with a silent refund as well; 2 may be there still; 3 is no loss but what may have
-- been given back.
-- Each step takes an event or finishes a piece, so that a client with a hundred thousand rows takes
-- seconds: in plain SQL, lots of different lifetimes have to be compared with each other.
drop function if exists refresh.allocate cascade;
create function refresh.allocate(
    piece_bucket timestamptz [],
    piece_points bigint [],
    piece_starts timestamptz [],
    piece_ends timestamptz [],
    piece_class integer [],
    event_bucket timestamptz [],
    event_at timestamptz [],
    event_points bigint [],
    event_is_firm boolean [],
    is_order_known boolean
)
returns table (piece integer, event integer, points bigint)
language plpgsql immutable
as $$
declare
    pieces constant integer := coalesce(array_length(piece_bucket, 1), 0);
    events constant integer := coalesce(array_length(event_bucket, 1), 0);
    needs bigint[] := piece_points;
    rest bigint[] := event_points;
    next_event integer[];
    match_piece integer[] := '{}';
    match_event integer[] := '{}';
    match_points bigint[] := '{}';
    matches integer := 0;
    first_match integer;
    i integer := 1;
    first_piece integer;
    last_piece integer;
    first_event integer := 1;
    last_event integer;
    firm_event integer;
    low integer;
    high integer;
    middle integer;
    e integer;
    root integer;
    class integer;
    part bigint;
    lacking bigint;
begin
    select array_agg(n) into next_event from generate_series(1, events + 2) as n;
    while i <= pieces and piece_class[i] < 3 loop
        first_piece := i;
        last_piece := i;
        lacking := 0;
        while
            last_piece < pieces and piece_class[last_piece + 1] < 3
            and piece_bucket[last_piece + 1] = piece_bucket[i]
        loop
            last_piece := last_piece + 1;
        end loop;
        while first_event <= events and event_bucket[first_event] < piece_bucket[i] loop
            first_event := first_event + 1;
        end loop;
        last_event := first_event - 1;
        firm_event := last_event;
        while last_event < events and event_bucket[last_event + 1] = piece_bucket[i] loop
            last_event := last_event + 1;
            if event_is_firm[last_event] then
                firm_event := last_event;
            end if;
        end loop;
        first_match := matches + 1;
        if last_event >= first_event then
            -- In the spending order, each piece takes what is left within its time.
            for p in first_piece .. last_piece loop
                low := first_event;
                high := firm_event + 1;
                while low < high loop
                    middle := (low + high) / 2;
                    if event_at[middle] >= piece_starts[p] then
                        high := middle;
                    else
                        low := middle + 1;
                    end if;
                end loop;
                e := low;
                while needs[p] > 0 and e <= firm_event loop
                    root := e;
                    while next_event[root] <> root loop
                        next_event[root] := next_event[next_event[root]];
                        root := next_event[root];
                    end loop;
                    e := root;
                    exit when e > firm_event or event_at[e] >= piece_ends[p];
                    part := least(needs[p], rest[e]);
                    if part > 0 then
                        needs[p] := needs[p] - part;
                        rest[e] := rest[e] - part;
                        matches := matches + 1;
                        match_piece[matches] := p;
                        match_event[matches] := e;
                        match_points[matches] := part;
                    end if;
                    if rest[e] = 0 then
                        next_event[e] := e + 1;
                        e := e + 1;
                    end if;
                end loop;
                if piece_class[p] = 0 then
                    lacking := lacking + needs[p];
                end if;
            end loop;
            -- A loss that was seen is a fact: it takes what is left out of its time, then what rows
            -- that vanished had taken.
            e := first_event;
            for p in first_piece .. last_piece loop
                exit when lacking = 0;
                continue when piece_class[p] <> 0;
                while needs[p] > 0 and e <= last_event loop
                    part := least(needs[p], rest[e]);
                    if part > 0 then
                        needs[p] := needs[p] - part;
                        rest[e] := rest[e] - part;
                        lacking := lacking - part;
                        matches := matches + 1;
                        match_piece[matches] := p;
                        match_event[matches] := e;
                        match_points[matches] := part;
                    end if;
                    if rest[e] = 0 then
                        next_event[e] := e + 1;
                    end if;
                    if needs[p] > 0 then
                        e := e + 1;
                    end if;
                end loop;
            end loop;
            -- Then what was allocated to lots that may have expired, or may be there, instead. What was
            -- before the first reading may have vanished by then: where the spending order is known,
            -- that is likelier than another order.
            if is_order_known and first_piece = 1 then
                lacking := 0;
            end if;
            e := matches;
            for p in first_piece .. last_piece loop
                exit when lacking = 0;
                continue when piece_class[p] <> 0;
                while needs[p] > 0 and e >= first_match loop
                    if piece_class[match_piece[e]] > 0 and match_points[e] > 0 then
                        part := least(needs[p], match_points[e]);
                        needs[p] := needs[p] - part;
                        lacking := lacking - part;
                        needs[match_piece[e]] := needs[match_piece[e]] + part;
                        match_points[e] := match_points[e] - part;
                        matches := matches + 1;
                        match_piece[matches] := p;
                        match_event[matches] := match_event[e];
                        match_points[matches] := part;
                    end if;
                    if needs[p] > 0 then
                        e := e - 1;
                    end if;
                end loop;
            end loop;
            first_event := last_event + 1;
        end if;
        i := last_piece + 1;
    end loop;
    -- What is left of all buckets: losses without a row, lots that may be there, points given back, and
    -- lots that ended later (points that could not be used yet may be clawed back).
    foreach class in array array[0, 2, 3, 1] loop
        e := 1;
        for p in 1 .. pieces loop
            continue when piece_class[p] <> class or needs[p] = 0;
            while needs[p] > 0 and e <= events loop
                exit when class = 1 and rest[e] > 0 and event_at[e] >= piece_ends[p];
                if
                    rest[e] > 0 and event_is_firm[e]
                    and (class <> 2 or event_at[e] >= piece_starts[p])
                then
                    part := least(needs[p], rest[e]);
                    needs[p] := needs[p] - part;
                    rest[e] := rest[e] - part;
                    matches := matches + 1;
                    match_piece[matches] := p;
                    match_event[matches] := e;
                    match_points[matches] := part;
                end if;
                if needs[p] > 0 then
                    e := e + 1;
                end if;
            end loop;
        end loop;
    end loop;
    e := 1;
    for p in 1 .. pieces loop
        continue when piece_class[p] <> 0 or needs[p] = 0;
        while needs[p] > 0 and e <= events loop
            if rest[e] > 0 and not event_is_firm[e] then
                part := least(needs[p], rest[e]);
                needs[p] := needs[p] - part;
                rest[e] := rest[e] - part;
                matches := matches + 1;
                match_piece[matches] := p;
                match_event[matches] := e;
                match_points[matches] := part;
            end if;
            if needs[p] > 0 then
                e := e + 1;
            end if;
        end loop;
    end loop;
    for m in 1 .. matches loop
        if match_points[m] > 0 then
            piece := match_piece[m];
            event := match_event[m];
            points := match_points[m];
            return next;
        end if;
    end loop;
end;
$$;

-- The lots of the clients in scope, as the source tells them: bonus rows with points, and cheques whose
-- points no bonus row names. remain is null where it is not told.
drop view if exists refresh.lot_rows cascade;
create view refresh.lot_rows as
select
    operations.client_id,
    operations.component_type,
    operations.operation_id as lot_id,
    operations.operation_date as issue_date,
    operations.processed_at as issued_at,
    operations.bonus_source,
    operations.cheque_id,
    operations.pos_id,
    mart.display_text(operations.partner_name) as partner_name,
    operations.added,
    coalesce(operations.remain, 0) as remain,
    operations.is_active,
    coalesce(operations.active_from, operations.processed_at) as active_from,
    operations.expires_at,
    false as is_told_by_cheque,
    operations.first_seen_at,
    operations.synced_at
from refresh.scope
inner join core.operations on operations.client_id = scope.client_id
cross join mart.parameters
where
    operations.added > 0
    and operations.is_refund is not true
    and operations.bonus_source is distinct from parameters.burnt_bonus_source
    and operations.deleted_at is null
    and operations.operation_date
    between mart.first_plausible_day() and mart.last_plausible_day()
    and (
        operations.bonus_id <> 0
        or (coalesce(operations.cheque_id, 0) = 0 and coalesce(operations.order_id, 0) = 0)
    )
union all
select
    operations.client_id,
    operations.component_type,
    operations.operation_id as lot_id,
    operations.operation_date as issue_date,
    operations.processed_at as issued_at,
    coalesce(operations.bonus_source, parameters.purchase_bonus_source) as bonus_source,
    operations.cheque_id,
    operations.pos_id,
    mart.display_text(operations.partner_name) as partner_name,
    operations.added,
    operations.remain,
    operations.is_active,
    coalesce(operations.active_from, operations.processed_at) as active_from,
    operations.expires_at,
    true as is_told_by_cheque,
    operations.first_seen_at,
    operations.synced_at
from refresh.scope
inner join mart.cheques on cheques.client_id = scope.client_id
inner join core.operations
    on
        operations.operation_date = cheques.day
        and operations.client_id = cheques.client_id
        and operations.component_type = cheques.component_type
        and operations.operation_id = cheques.operation_id
cross join mart.parameters
where cheques.is_only_teller;

drop function if exists refresh.points_ledger cascade;
-- What the ledger reads of the clients in scope, each by the index on client_id. A client may have a
-- hundred thousand rows: the planner is told of many.
create or replace function refresh.scope_lots()
returns setof refresh.lot_rows
language sql stable rows 1000 set enable_nestloop = on
as $$
select * from refresh.lot_rows;
$$;

create or replace function refresh.scope_history()
returns setof history.operations
language sql stable rows 1000 set enable_nestloop = on
as $$
select operations.*
from refresh.scope
inner join history.operations on operations.client_id = scope.client_id
where operations.added > 0 and operations.deleted_at is null;
$$;

create or replace function refresh.scope_cheques()
returns setof mart.cheques
language sql stable rows 1000 set enable_nestloop = on
as $$
select cheques.*
from refresh.scope
inner join mart.cheques on cheques.client_id = scope.client_id;
$$;

create or replace function refresh.scope_takings()
returns setof core.operations
language sql stable rows 1000 set enable_nestloop = on
as $$
select operations.*
from refresh.scope
inner join core.operations on operations.client_id = scope.client_id
cross join refresh.rules
where
    operations.deleted_at is null
    and operations.operation_date
    between mart.first_plausible_day() and mart.last_plausible_day()
    and (
        operations.bonus_id <> 0
        or (coalesce(operations.cheque_id, 0) = 0 and coalesce(operations.order_id, 0) = 0)
    )
    and (
        operations.bonus_source = rules.burnt_bonus_source
        or operations.added < 0
        or (operations.is_refund and operations.added <> 0)
        or (
            operations.redeemed <> 0
            and coalesce(operations.added, 0) = 0
            and rules.bonus_redemptions_count
        )
    );
$$;

create or replace function refresh.scope_vanished()
returns setof core.operations
language sql stable rows 1000 set enable_nestloop = on
as $$
select gone.*
from refresh.scope
inner join core.operations as gone on gone.client_id = scope.client_id
where
    gone.deleted_at is not null
    and gone.operation_date
    between mart.first_plausible_day() and mart.last_plausible_day()
    and (gone.added <> 0 or gone.redeemed <> 0)
    and not exists (
        select from core.operations as moved
        where
            moved.component_type = gone.component_type
            and moved.operation_id = gone.operation_id
            and moved.deleted_at is null
    );
$$;

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
    lots_change integer
)
language plpgsql rows 100000
set enable_nestloop = off set enable_mergejoin = off set jit = off
set work_mem = '128MB' set client_min_messages = warning
as $$
#variable_conflict use_column
begin
    drop table if exists
        chosen, gone, gone_first, former, cheques, lots, versions, levels, drops, seen,
        given_back, refunded, alone, losses, lot_burns, burnt_losses, day_burns, reserved,
        takings, claws, vanished, pieces, events, matched, leftovers, movements;
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
        as_of.operations_day
    from mart.parameters
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
        case
            when lot_rows.expires_at is null then 'infinity'
            else greatest(lot_rows.expires_at, lot_rows.issued_at + interval '1 microsecond')
        end as ends_at,
        row_number() over (
            partition by lot_rows.client_id
            order by
                case
                    when chosen.spending_order = 'soonest_to_expire'
                        then coalesce(lot_rows.expires_at, 'infinity')
                end asc,
                case when chosen.spending_order = 'newest_first' then lot_rows.issued_at end desc,
                case when chosen.spending_order = 'newest_first' then lot_rows.lot_id end desc,
                lot_rows.issued_at asc,
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

    -- Whatever a reading saw of the lots that have lost something.
    create temp table versions on commit drop as
    select
        client_id,
        component_type,
        lot_id,
        added,
        remain,
        synced_at as seen_at
    from lots
    where remain < added
    union all
    select
        lots.client_id,
        lots.component_type,
        lots.lot_id,
        lots.added,
        coalesce(history.remain, 0) as remain,
        history.valid_from as seen_at
    from refresh.scope_history() as history
    inner join lots
        on
            lots.client_id = history.client_id
            and lots.component_type = history.component_type
            and lots.lot_id = history.operation_id
    where lots.remain < lots.added and history.added > 0 and history.deleted_at is null
    union all
    select
        lots.client_id,
        lots.component_type,
        lots.lot_id,
        lots.added,
        coalesce(history.remain, 0) as remain,
        history.valid_from as seen_at
    from former
    inner join lots
        on
            lots.client_id = former.client_id
            and lots.component_type = former.component_type
            and lots.lot_id = former.operation_id
    inner join history.operations as history
        on
            history.client_id = former.former_client_id
            and history.component_type = former.component_type
            and history.operation_id = former.operation_id
    where lots.remain < lots.added and history.added > 0 and history.deleted_at is null;

    -- What rose again later was not lost for good: the most that was still there later counts.
    create temp table levels on commit drop as
    select
        client_id,
        component_type,
        lot_id,
        added,
        seen_at,
        least(
            added,
            max(remain) over (
                partition by client_id, component_type, lot_id
                order by seen_at desc
                rows between unbounded preceding and current row
            )
        ) as level
    from versions;

    create temp table drops on commit drop as
    select
        client_id,
        component_type,
        lot_id,
        seen_at,
        level,
        coalesce(
            lag(level) over (partition by client_id, component_type, lot_id order by seen_at), added
        ) - level as points
    from levels;

    -- There are few publishes and many rows. Its rows tell of the last day of the reading that it was of.
    create temp table seen on commit drop as
    select
        moments.seen_at,
        coalesce(
            max(readings.last_day),
            (select min(first.last_day) from mart.readings as first where first.feed = 'operations')
        ) as seen_day
    from (
        select distinct seen_at from drops
        union
        select distinct synced_at from lots where remain > added
    ) as moments
    left join mart.readings
        on readings.feed = 'operations' and readings.started_at <= moments.seen_at
    group by moments.seen_at;

    -- What refunds did to the cheque that they give back, as far as they tell.
    create temp table given_back on commit drop as
    select
        refunds.client_id,
        refunds.parent_id as cheque_id,
        sum(-refunds.redeemed) as points,
        sum(-refunds.added) as points_taken,
        sum(abs(refunds.amount)) as amount,
        min(refunds.processed_at) as refunded_at,
        min(refunds.day) as refund_day,
        min(refunds.seen_at) as seen_at
    from cheques as refunds
    where refunds.is_refund and refunds.parent_id is not null
    group by refunds.client_id, refunds.parent_id;

    -- Refunds that tell no points: they may have taken some from the lots of their cheque.
    create temp table refunded on commit drop as
    select
        given_back.client_id,
        given_back.cheque_id,
        given_back.seen_at,
        given_back.refunded_at,
        given_back.refund_day,
        least(1, coalesce(given_back.amount / nullif(abs(cheques.amount), 0), 1)) as share
    from given_back
    left join cheques
        on
            cheques.client_id = given_back.client_id
            and cheques.cheque_id = given_back.cheque_id
    where given_back.points_taken = 0;

    -- Bonus rows that take points and that no cheque speaks for.
    create temp table alone on commit drop as
    select
        operations.client_id,
        operations.component_type,
        operations.operation_id,
        operations.operation_date as day,
        operations.processed_at as at,
        least(operations.first_seen_at, gone_first.first_seen_at) as seen_at,
        operations.parent_id as lot_id,
        operations.pos_id,
        mart.display_text(operations.partner_name) as partner_name,
        case
            when operations.bonus_source = chosen.burnt_bonus_source then 'expired'
            when
                operations.added <> 0
                and (operations.is_refund is true or given_back.cheque_id is not null)
                then 'clawed_back'
            when operations.added < 0 then 'corrected'
            else 'redeemed'
        end as kind,
        case
            when operations.bonus_source = chosen.burnt_bonus_source
                then greatest(
                    abs(coalesce(operations.added, 0)), abs(coalesce(operations.redeemed, 0))
                )
            when operations.added <> 0 then abs(operations.added)
            else operations.redeemed
        end as points
    from refresh.scope_takings() as operations
    cross join chosen
    left join gone_first
        on
            gone_first.component_type = operations.component_type
            and gone_first.operation_id = operations.operation_id
    left join cheques
        on
            cheques.client_id = operations.client_id
            and cheques.cheque_id = operations.cheque_id
    left join given_back
        on
            given_back.client_id = operations.client_id
            and given_back.cheque_id = operations.cheque_id
    where
        operations.bonus_source = chosen.burnt_bonus_source
        or (
            (operations.added < 0 or (operations.is_refund and operations.added <> 0))
            and cheques.is_refund is not true
        )
        or (
            operations.redeemed <> 0
            and coalesce(operations.added, 0) = 0
            and cheques.cheque_id is null
        );

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
        case when drops.level = 0 and refunded.share = 1 then refunded.refunded_at end
            as refunded_at,
        case when refunded.share < 1 then round(lots.added * refunded.share, 2) else drops.points end
            as refund_limit
    from drops
    inner join lots
        on
            lots.client_id = drops.client_id
            and lots.component_type = drops.component_type
            and lots.lot_id = drops.lot_id
    inner join seen on seen.seen_at = drops.seen_at
    left join refunded
        on
            refunded.client_id = lots.client_id
            and refunded.cheque_id = lots.cheque_id
            and refunded.seen_at = drops.seen_at
            and refunded.refunded_at < lots.ends_at
    where drops.points > 0;

    -- Burns speak for the lot that they name, else for the lots that ended on their day or the day before.
    create temp table lot_burns on commit drop as
    select
        alone.client_id,
        lots.component_type,
        lots.lot_id,
        sum(alone.points) as points,
        max(alone.day) as day,
        max(alone.at) as at,
        max(alone.seen_at) as seen_at
    from alone
    inner join lots
        on
            lots.client_id = alone.client_id
            and lots.lot_id = alone.lot_id
            and not lots.is_told_by_cheque
    where alone.kind = 'expired' and lots.expiry_date is not null
    group by alone.client_id, lots.component_type, lots.lot_id;

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
                        order by losses.seen_at desc
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

    create temp table reserved on commit drop as
    select
        losses.*,
        coalesce(burnt_losses.burnt, 0) + least(
            losses.points - coalesce(burnt_losses.burnt, 0),
            greatest(
                0,
                coalesce(of_day.points, 0) - coalesce(
                    sum(losses.points - coalesce(burnt_losses.burnt, 0)) over (
                        partition by losses.client_id, losses.expiry_date, losses.is_ending
                        order by losses.spending_rank, losses.seen_at
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

    -- Every taking of points that a row tells: told is what its row says, points what has to be matched.
    create temp table takings on commit drop as
    select
        named.*,
        row_number() over (
            partition by named.client_id order by named.at, named.kind, named.cheque_id, named.told
        ) as taking
    from (
        select
            cheques.client_id,
            'redeemed' as kind,
            cheques.day,
            cheques.processed_at + cheques.delay as at,
            cheques.seen_at,
            cheques.redeemed as told,
            greatest(cheques.redeemed - coalesce(given_back.points, 0), 0) as points,
            cheques.cheque_id,
            null::bigint as of_cheque_id,
            cheques.pos_id,
            cheques.partner_name
        from cheques
        left join given_back
            on
                given_back.client_id = cheques.client_id
                and given_back.cheque_id = cheques.cheque_id
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

    -- What a refund says that it took is taken from the lots of its cheque first.
    create temp table claws on commit drop as
    select
        taken.client_id,
        taken.taking,
        lost.component_type,
        lost.lot_id,
        lost.seen_at,
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
            client_id,
            component_type,
            lot_id,
            cheque_id,
            seen_at,
            sum(points - burnt) over of_cheque - (points - burnt) as before,
            sum(points - burnt) over of_cheque as through
        from reserved
        where cheque_id is not null
        window of_cheque as (partition by client_id, cheque_id, seen_at order by spending_rank)
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

    -- All that is matched, as refresh.allocate wants it.
    create temp table pieces on commit drop as
    select
        together.*,
        row_number() over (
            partition by together.client_id
            order by together.class = 3, together.seen_at, together.spending_rank, together.lot_id
        )::integer as piece
    from (
        select
            reserved.client_id,
            reserved.component_type,
            reserved.lot_id,
            reserved.spending_rank,
            reserved.seen_at,
            case when reserved.is_ending or reserved.refund_day is not null then 1 else 0 end
                as class,
            reserved.is_ending,
            reserved.points - reserved.burnt - coalesce(claws.points, 0) as points,
            reserved.burnt,
            lots.starts_at,
            least(
                case when reserved.is_ending then lots.ends_at else 'infinity' end,
                reserved.refunded_at
            ) as ends_at,
            reserved.seen_day,
            reserved.expiry_date,
            reserved.refund_day,
            reserved.refund_limit,
            null as kind,
            false as is_told
        from reserved
        inner join lots
            on
                lots.client_id = reserved.client_id
                and lots.component_type = reserved.component_type
                and lots.lot_id = reserved.lot_id
        left join (
            select client_id, component_type, lot_id, seen_at, sum(points) as points
            from claws
            group by client_id, component_type, lot_id, seen_at
        ) as claws
            on
                claws.client_id = reserved.client_id
                and claws.component_type = reserved.component_type
                and claws.lot_id = reserved.lot_id
                and claws.seen_at = reserved.seen_at
        union all
        -- Nobody tells what remains of these.
        select
            lots.client_id,
            lots.component_type,
            lots.lot_id,
            lots.spending_rank,
            least(lots.first_seen_at, former.first_seen_at) as seen_at,
            2 as class,
            true as is_ending,
            lots.added - coalesce(claws.points, 0) as points,
            0 as burnt,
            lots.starts_at,
            case
                when refunded.share = 1 then least(lots.ends_at, refunded.refunded_at)
                else lots.ends_at
            end as ends_at,
            null as seen_day,
            case when lots.expiry_date <= chosen.operations_day then lots.expiry_date end
                as expiry_date,
            refunded.refund_day,
            round(lots.added * refunded.share, 2) as refund_limit,
            null as kind,
            false as is_told
        from lots
        cross join chosen
        left join (
            select client_id, component_type, operation_id, min(first_seen_at) as first_seen_at
            from former
            group by client_id, component_type, operation_id
        ) as former
            on
                former.client_id = lots.client_id
                and former.component_type = lots.component_type
                and former.operation_id = lots.lot_id
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
        left join refunded
            on
                refunded.client_id = lots.client_id
                and refunded.cheque_id = lots.cheque_id
                and refunded.refunded_at < lots.ends_at
        where lots.remain is null
        union all
        -- Points that a refund gave back: told without its cheque, or not told at all.
        select
            refunds.client_id,
            null as component_type,
            null as lot_id,
            case when refunds.redeemed < 0 then 1 else 2 end as spending_rank,
            refunds.seen_at,
            3 as class,
            false as is_ending,
            case
                when refunds.redeemed < 0 then -refunds.redeemed
                else round(
                    parents.redeemed * least(
                        1, coalesce(abs(refunds.amount) / nullif(abs(parents.amount), 0), 1)
                    ), 2
                )
            end as points,
            0 as burnt,
            '-infinity' as starts_at,
            'infinity' as ends_at,
            refunds.day as seen_day,
            null as expiry_date,
            null as refund_day,
            null as refund_limit,
            'redeemed' as kind,
            refunds.redeemed < 0 as is_told
        from cheques as refunds
        left join cheques as parents
            on
                parents.client_id = refunds.client_id
                and parents.cheque_id = refunds.parent_id
                and parents.redeemed > 0
        where
            refunds.is_refund
            and case
                when refunds.redeemed < 0 then parents.cheque_id is null
                else parents.cheque_id is not null
            end
        union all
        select
            client_id,
            component_type,
            operation_id as lot_id,
            3 as spending_rank,
            seen_at,
            3 as class,
            false as is_ending,
            given as points,
            0 as burnt,
            '-infinity' as starts_at,
            'infinity' as ends_at,
            day as seen_day,
            null as expiry_date,
            null as refund_day,
            null as refund_limit,
            'corrected' as kind,
            false as is_told
        from vanished
        where given > 0
    ) as together;

    create temp table events on commit drop as
    select
        together.*,
        row_number() over (
            partition by together.client_id
            order by
                together.seen_at asc,
                together.is_firm desc,
                together.at asc,
                together.taking asc,
                together.cheque_id asc
        )::integer as event
    from (
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
            on claws.client_id = takings.client_id and claws.taking = takings.taking
        union all
        select
            client_id,
            null as taking,
            'corrected' as kind,
            day,
            at,
            seen_at,
            0 as told,
            taken as points,
            false as is_firm,
            operation_id as cheque_id,
            pos_id,
            partner_name
        from vanished
        where taken > 0
        union all
        -- A refund that names no cheque and no points may have taken some.
        select
            client_id,
            null as taking,
            'clawed_back' as kind,
            day,
            processed_at as at,
            seen_at,
            0 as told,
            abs(amount) as points,
            false as is_firm,
            cheque_id,
            pos_id,
            partner_name
        from cheques
        where is_refund and parent_id is null and added = 0
    ) as together;

    create temp table matched on commit drop as
    select
        pieces_of.client_id,
        allocated.piece,
        allocated.event,
        (allocated.points / 100.0)::numeric(19, 2) as points
    from (
        select
            client_id,
            array_agg(seen_at order by piece) as bucket,
            array_agg((points * 100)::bigint order by piece) as points,
            array_agg(starts_at order by piece) as starts_at,
            array_agg(ends_at order by piece) as ends_at,
            array_agg(class order by piece) as class,
            (select chosen.is_order_known from chosen) as is_order_known
        from pieces
        group by client_id
    ) as pieces_of
    inner join (
        select
            client_id,
            array_agg(seen_at order by event) as bucket,
            array_agg(at order by event) as at,
            array_agg((points * 100)::bigint order by event) as points,
            array_agg(is_firm order by event) as is_firm
        from events
        group by client_id
    ) as events_of on events_of.client_id = pieces_of.client_id
    cross join lateral refresh.allocate(
        pieces_of.bucket,
        pieces_of.points,
        pieces_of.starts_at,
        pieces_of.ends_at,
        pieces_of.class,
        events_of.bucket,
        events_of.at,
        events_of.points,
        events_of.is_firm,
        pieces_of.is_order_known
    ) as allocated;

    create temp table leftovers on commit drop as
    select
        pieces.*,
        pieces.points - coalesce(taken.points, 0) as rest
    from pieces
    left join (
        select client_id, piece, sum(points) as points
        from matched
        group by client_id, piece
    ) as taken on taken.client_id = pieces.client_id and taken.piece = pieces.piece;

    create temp table movements on commit drop as
    select
        issue_date as movement_date,
        client_id,
        'added' as kind,
        added as points,
        pos_id,
        partner_name,
        component_type,
        lot_id,
        null::bigint as cheque_id
    from lots
    union all
    -- More remains of a lot than was given.
    select
        greatest(seen.seen_day, lots.issue_date) as movement_date,
        lots.client_id,
        'unexplained' as kind,
        lots.remain - lots.added as points,
        null as pos_id,
        null as partner_name,
        lots.component_type,
        lots.lot_id,
        null as cheque_id
    from lots
    inner join seen on seen.seen_at = lots.synced_at
    where lots.remain > lots.added
    union all
    -- What rows took from lots.
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
        where pieces.class < 3
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
        events.cheque_id
    union all
    -- What rows took, without a lot: given back later, or seen on no lot.
    select
        events.day as movement_date,
        events.client_id,
        shown.kind,
        shown.points,
        events.pos_id,
        events.partner_name,
        null as component_type,
        null as lot_id,
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
    cross join lateral (
        values
        (events.kind, coalesce(taken.of_lots, 0) - events.told),
        ('unexplained', events.points - coalesce(taken.points, 0))
    ) as shown (kind, points)
    where events.is_firm and shown.points <> 0
    union all
    -- What came back, without a lot.
    select
        seen_day as movement_date,
        client_id,
        kind,
        points - rest as points,
        null as pos_id,
        null as partner_name,
        null as component_type,
        null as lot_id,
        null as cheque_id
    from leftovers
    where class = 3 and not is_told and points > rest
    union all
    select
        refunds.day as movement_date,
        refunds.client_id,
        'redeemed' as kind,
        -refunds.redeemed as points,
        refunds.pos_id,
        refunds.partner_name,
        null as component_type,
        null as lot_id,
        refunds.cheque_id
    from cheques as refunds
    where refunds.redeemed < 0
    union all
    select
        seen_day as movement_date,
        client_id,
        'unexplained' as kind,
        -rest as points,
        null as pos_id,
        null as partner_name,
        null as component_type,
        null as lot_id,
        null as cheque_id
    from leftovers
    where class = 3 and is_told and rest > 0
    union all
    select
        given_back.refund_day as movement_date,
        given_back.client_id,
        'unexplained' as kind,
        cheques.redeemed - given_back.points as points,
        null as pos_id,
        null as partner_name,
        null as component_type,
        null as lot_id,
        null as cheque_id
    from given_back
    inner join cheques
        on
            cheques.client_id = given_back.client_id
            and cheques.cheque_id = given_back.cheque_id
    where cheques.redeemed > 0 and given_back.points > cheques.redeemed
    union all
    -- What lots lost, and no row took.
    select
        shown.movement_date,
        leftovers.client_id,
        shown.kind,
        -shown.points as points,
        lots.pos_id,
        lots.partner_name,
        leftovers.component_type,
        leftovers.lot_id,
        null as cheque_id
    from leftovers
    inner join lots
        on
            lots.client_id = leftovers.client_id
            and lots.component_type = leftovers.component_type
            and lots.lot_id = leftovers.lot_id
    cross join lateral (
        select
            case
                when leftovers.refund_day is null then 0
                when not leftovers.is_ending then leftovers.rest
                else least(leftovers.rest, leftovers.refund_limit)
            end as points
    ) as clawed
    cross join lateral (
        values
        ('clawed_back', leftovers.refund_day, clawed.points),
        (
            case when leftovers.is_ending then 'expired' else 'unexplained' end,
            case when leftovers.is_ending then leftovers.expiry_date else leftovers.seen_day end,
            leftovers.rest - clawed.points + leftovers.burnt
        )
    ) as shown (kind, movement_date, points)
    where
        leftovers.class < 3
        and shown.points <> 0
        and shown.movement_date is not null
    union all
    -- What remains of a lot that has ended.
    select
        lots.expiry_date as movement_date,
        lots.client_id,
        'expired' as kind,
        -lots.remain as points,
        lots.pos_id,
        lots.partner_name,
        lots.component_type,
        lots.lot_id,
        null as cheque_id
    from lots
    cross join chosen
    where lots.remain > 0 and lots.expiry_date <= chosen.operations_day;
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
                and lots.remain > 0
                and (lots.expiry_date is null or lots.expiry_date > chosen.operations_day)
                then '9999-12-31'::date
            when lots.active_date > lots.issue_date then lots.active_date
        end as pending_until,
        case
            when movements.lot_id is null then 0
            else
                (sum(movements.points) over of_lot > 0)::integer
                - (sum(movements.points) over of_lot - movements.points > 0)::integer
        end as lots_change
    from movements
    cross join chosen
    left join lots
        on
            lots.client_id = movements.client_id
            and lots.component_type = movements.component_type
            and lots.lot_id = movements.lot_id
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
select * from refresh.points_ledger();

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
comment on column mart.points_movements.cheque_id is 'cheque whose row tells of it, if one does';
comment on column mart.points_movements.issue_date is 'business day on which the lot was given';
comment on column mart.points_movements.expiry_date is 'business day at whose end the lot is gone; null when it does not expire';
comment on column mart.points_movements.pending_until is 'first business day on which the lot could be used; 9999-12-31 while it is blocked; null when at once';
comment on column mart.points_movements.lots_change is 'by how many the lots with points left change: 1, 0 or -1';
