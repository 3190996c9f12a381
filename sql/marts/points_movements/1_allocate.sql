-- Matches what lots of one client lost (pieces) with what rows took (events), in hundredths.
-- Pieces come by bucket (the publish that showed the loss) and spending order, events by bucket and
-- time, those that are firm first. Class of a piece: 0 was taken by some row, for sure; 1 may have
-- expired or gone with a silent refund as well; 2 may be there still; 3 is no loss but what may have
-- been given back. An event with event_back_at was given back at that time. It takes only what nothing
-- else explains: a sure loss, or a lot that had ended before.
-- piece_refunds: the most that silent refunds may have taken of a piece.
-- piece_event: of class 3, the event that a silent refund gives back; a stated one has piece_starts.
-- first_reading: of the client; null where the spending order is not known.
-- Each step takes an event or finishes a piece, so that a client with a hundred thousand rows takes
-- seconds: in plain SQL, lots of different lifetimes have to be compared with each other.
drop function if exists refresh.allocate cascade;
create function refresh.allocate(
    piece_bucket timestamptz[],
    piece_points bigint[],
    piece_starts timestamptz[],
    piece_ends timestamptz[],
    piece_class integer[],
    piece_refunds bigint[],
    piece_event integer[],
    event_bucket timestamptz[],
    event_at timestamptz[],
    event_points bigint[],
    event_is_firm boolean[],
    event_back_at timestamptz[],
    first_reading timestamptz
)
returns table (piece integer, event integer, points bigint)
language plpgsql immutable
as $$
declare
    pieces constant integer := coalesce(array_length(piece_bucket, 1), 0);
    events constant integer := coalesce(array_length(event_bucket, 1), 0);
    needs bigint[] := piece_points;
    rest bigint[] := event_points;
    refundable bigint[] := piece_refunds;
    next_event integer[];
    last_match integer[];
    earlier_match integer[];
    of_cheques bigint[];
    refunds integer[];
    taken integer[];
    stack integer[];
    depth integer;
    returned bigint := 0;
    limited bigint;
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
    by_time integer[];
    by_end integer[];
    e integer;
    p integer;
    root integer;
    class integer;
    part bigint;
    lacking bigint;
    has_returned boolean := false;
begin
    for n in 1 .. events + 2 loop
        next_event[n] := n;
    end loop;
    for n in 1 .. events loop
        if event_back_at[n] is not null and event_at[n] < first_reading then
            returned := returned + event_points[n];
        end if;
    end loop;
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
            -- Then what was allocated to lots that may have expired, or may be there, instead. If the first
            -- reading saw it and the spending order is known, it is likelier that a row vanished before:
            -- then only what a refund may have taken of these lots, and of lots that may be there what was
            -- given back: somebody had redeemed it meanwhile.
            e := matches;
            for p in first_piece .. last_piece loop
                exit when lacking = 0;
                continue when piece_class[p] <> 0;
                while needs[p] > 0 and e >= first_match loop
                    part := least(needs[p], match_points[e]);
                    if piece_bucket[i] <= first_reading then
                        limited := refundable[match_piece[e]];
                        if piece_class[match_piece[e]] = 2 then
                            limited := limited + returned;
                        end if;
                        part := least(part, limited);
                    end if;
                    if piece_class[match_piece[e]] > 0 and part > 0 then
                        needs[p] := needs[p] - part;
                        lacking := lacking - part;
                        needs[match_piece[e]] := needs[match_piece[e]] + part;
                        if piece_class[match_piece[e]] = 2 then
                            returned := returned - greatest(part - refundable[match_piece[e]], 0);
                        end if;
                        refundable[match_piece[e]] := greatest(refundable[match_piece[e]] - part, 0);
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
    -- lots that ended later (points that could not be used yet may be clawed back). Then (4) lots that may
    -- be there, after their time: what a refund may have taken was there, if nothing else explains a row.
    if 2 = any(piece_class) then
        by_time := array(
            select taking.n
            from unnest(event_at, event_is_firm) with ordinality as taking (at, is_firm, n)
            where taking.is_firm
            order by taking.at, taking.n
        );
        last_event := coalesce(array_length(by_time, 1), 0) + 1;
        select array_agg(n) into next_event from generate_series(1, last_event) as n;
    end if;
    -- In between (5), what silent refunds gave back of their own cheques. If lots show that one did, they
    -- all gave back what came of lots that may be there, too, which may then be used again.
    -- After all (6), refunds that state it gave back what events before them took of such lots, the newest
    -- first.
    foreach class in array array[0, 2, 5, 3, 6, 2, 1, 4] loop
        -- Most clients have pieces of one class or two.
        continue when not case class when 4 then 2 when 5 then 3 when 6 then 3 else class end
            = any(piece_class);
        if class = 5 then
            for p in 1 .. pieces loop
                e := piece_event[p];
                continue when e is null;
                part := least(needs[p], rest[e]);
                if part > 0 then
                    needs[p] := needs[p] - part;
                    rest[e] := rest[e] - part;
                    matches := matches + 1;
                    match_piece[matches] := p;
                    match_event[matches] := e;
                    match_points[matches] := part;
                    has_returned := true;
                end if;
            end loop;
            continue when not has_returned;
            for m in 1 .. matches loop
                if piece_class[match_piece[m]] = 2 then
                    e := match_event[m];
                    earlier_match[m] := last_match[e];
                    last_match[e] := m;
                    of_cheques[e] := coalesce(of_cheques[e], 0) + match_points[m];
                end if;
            end loop;
            for p in 1 .. pieces loop
                e := piece_event[p];
                continue when e is null or last_match[e] is null;
                lacking := least(needs[p], of_cheques[e] * piece_points[p] / event_points[e]);
                while lacking > 0 and last_match[e] is not null loop
                    part := least(lacking, match_points[last_match[e]]);
                    lacking := lacking - part;
                    needs[p] := needs[p] - part;
                    root := match_piece[last_match[e]];
                    needs[root] := needs[root] + part;
                    match_points[last_match[e]] := match_points[last_match[e]] - part;
                    matches := matches + 1;
                    match_piece[matches] := p;
                    match_event[matches] := e;
                    match_points[matches] := part;
                    if match_points[last_match[e]] = 0 then
                        last_match[e] := earlier_match[last_match[e]];
                    end if;
                end loop;
            end loop;
            continue;
        elsif class = 6 then
            refunds := array(
                select refunding.n
                from unnest(needs, piece_class, piece_starts)
                with ordinality as refunding (need, class, starts_at, n)
                where refunding.class = 3 and refunding.need > 0 and refunding.starts_at > '-infinity'
                order by refunding.starts_at, refunding.n
            );
            continue when refunds = '{}';
            -- Matches by the time of their events; those before a refund lie on a stack.
            taken := array(
                select taking.n
                from unnest(match_piece, match_event, match_points)
                with ordinality as taking (piece, event, points, n)
                inner join unnest(piece_class)
                with ordinality as pieces_taken (class, piece)
                    on pieces_taken.piece = taking.piece and pieces_taken.class = 2
                inner join unnest(event_at)
                with ordinality as events_taking (at, event)
                    on events_taking.event = taking.event
                where taking.points > 0
                order by events_taking.at, taking.n
            );
            stack := '{}';
            depth := 0;
            low := 1;
            foreach p in array refunds loop
                while
                    low <= coalesce(array_length(taken, 1), 0)
                    and event_at[match_event[taken[low]]] < piece_starts[p]
                loop
                    depth := depth + 1;
                    stack[depth] := taken[low];
                    low := low + 1;
                end loop;
                while needs[p] > 0 and depth > 0 loop
                    root := stack[depth];
                    part := least(needs[p], match_points[root]);
                    needs[p] := needs[p] - part;
                    needs[match_piece[root]] := needs[match_piece[root]] + part;
                    match_points[root] := match_points[root] - part;
                    matches := matches + 1;
                    match_piece[matches] := p;
                    match_event[matches] := match_event[root];
                    match_points[matches] := part;
                    if match_points[root] = 0 then
                        depth := depth - 1;
                    end if;
                end loop;
            end loop;
            continue;
        end if;
        e := 1;
        for p in 1 .. pieces loop
            continue when needs[p] = 0 or piece_class[p] <> case class when 4 then 2 else class end;
            if piece_class[p] = 2 then
                low := 1;
                high := last_event;
                while low < high loop
                    middle := (low + high) / 2;
                    if event_at[by_time[middle]] >= piece_starts[p] then
                        high := middle;
                    else
                        low := middle + 1;
                    end if;
                end loop;
                root := low;
                while needs[p] > 0 loop
                    while next_event[root] <> root loop
                        next_event[root] := next_event[next_event[root]];
                        root := next_event[root];
                    end loop;
                    exit when root = last_event;
                    e := by_time[root];
                    exit when class = 2 and event_at[e] >= piece_ends[p];
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
                        next_event[root] := root + 1;
                    end if;
                end loop;
            else
                while needs[p] > 0 and e <= events loop
                    exit when class = 1 and rest[e] > 0 and event_at[e] >= piece_ends[p];
                    if rest[e] > 0 and event_is_firm[e] then
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
            end if;
        end loop;
    end loop;
    e := 1;
    for p in 1 .. pieces loop
        continue when piece_class[p] <> 0 or needs[p] = 0;
        while needs[p] > 0 and e <= events loop
            if rest[e] > 0 and not event_is_firm[e] and event_back_at[e] is null then
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
    -- Those given back come last, in order of time.
    first_event := events + 1;
    while first_event > 1 and event_back_at[first_event - 1] is not null loop
        first_event := first_event - 1;
    end loop;
    if first_event <= events then
        for p in 1 .. pieces loop
            continue when piece_class[p] <> 0 or needs[p] = 0;
            e := first_event;
            while needs[p] > 0 and e <= events loop
                exit when event_at[e] >= least(piece_ends[p], piece_bucket[p]);
                if rest[e] > 0 and event_at[e] >= piece_starts[p] then
                    part := least(needs[p], rest[e]);
                    needs[p] := needs[p] - part;
                    rest[e] := rest[e] - part;
                    matches := matches + 1;
                    match_piece[matches] := p;
                    match_event[matches] := e;
                    match_points[matches] := part;
                end if;
                e := e + 1;
            end loop;
        end loop;
        -- Few lots end between a purchase and its refund.
        by_end := array(
            select ended.n
            from unnest(piece_ends, piece_class) with ordinality as ended (ends_at, class, n)
            where ended.class = 1
            order by ended.ends_at, ended.n
        );
        for e in first_event .. events loop
            low := 1;
            high := coalesce(array_length(by_end, 1), 0) + 1;
            while low < high loop
                middle := (low + high) / 2;
                if piece_ends[by_end[middle]] > event_at[e] then
                    high := middle;
                else
                    low := middle + 1;
                end if;
            end loop;
            while rest[e] > 0 and low <= coalesce(array_length(by_end, 1), 0) loop
                p := by_end[low];
                exit when piece_ends[p] > event_back_at[e];
                part := least(needs[p], rest[e]);
                if part > 0 and event_at[e] >= piece_starts[p] and event_at[e] < piece_bucket[p] then
                    needs[p] := needs[p] - part;
                    rest[e] := rest[e] - part;
                    matches := matches + 1;
                    match_piece[matches] := p;
                    match_event[matches] := e;
                    match_points[matches] := part;
                end if;
                low := low + 1;
            end loop;
        end loop;
    end if;
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

-- What refresh.allocate matches, of all clients of two temporary tables: pieces (client_id, piece, seen_at,
-- points, starts_at, ends_at, class, refund_limit, of_cheque_id) and events (client_id, event, kind,
-- cheque_id, seen_at, at, points, is_firm, back_at). piece and event are numbers from 1 of each client, in the order
-- that refresh.allocate wants. refund_limit is null where no silent refund takes any of a piece, of_cheque_id
-- where none gives it back.
create or replace function refresh.allocated(may_lack_rows boolean)
returns table (client_id bigint, piece integer, event integer, points numeric(19, 2))
language plpgsql
as $$
#variable_conflict use_column
begin
    return query
    select
        pieces_of.client_id,
        allocated.piece,
        allocated.event,
        (allocated.points / 100.0)::numeric(19, 2) as points
    from (
        select
            pieces.client_id,
            array_agg(pieces.seen_at order by pieces.piece) as bucket,
            array_agg((pieces.points * 100)::bigint order by pieces.piece) as points,
            array_agg(pieces.starts_at order by pieces.piece) as starts_at,
            array_agg(pieces.ends_at order by pieces.piece) as ends_at,
            array_agg(pieces.class order by pieces.piece) as class,
            array_agg((coalesce(pieces.refund_limit, 0) * 100)::bigint order by pieces.piece)
                as refunds,
            array_agg(events.event order by pieces.piece) as events
        from pieces
        left join events
            on
                events.client_id = pieces.client_id
                and events.cheque_id = pieces.of_cheque_id
                and events.kind = 'redeemed'
                and events.is_firm
        group by pieces.client_id
    ) as pieces_of
    inner join (
        select
            client_id,
            array_agg(seen_at order by event) as bucket,
            array_agg(at order by event) as at,
            array_agg((points * 100)::bigint order by event) as points,
            array_agg(is_firm order by event) as is_firm,
            array_agg(back_at order by event) as back_at
        from events
        group by client_id
    ) as events_of on events_of.client_id = pieces_of.client_id
    left join (
        select
            rows_seen.client_id,
            min(rows_seen.seen_at) as seen_at
        from (
            select client_id, first_seen_at as seen_at from lots
            union all
            select client_id, seen_at from cheques
        ) as rows_seen
        cross join chosen
        where may_lack_rows and chosen.is_order_known
        group by rows_seen.client_id
    ) as first_readings on first_readings.client_id = pieces_of.client_id
    cross join lateral refresh.allocate(
        pieces_of.bucket,
        pieces_of.points,
        pieces_of.starts_at,
        pieces_of.ends_at,
        pieces_of.class,
        pieces_of.refunds,
        pieces_of.events,
        events_of.bucket,
        events_of.at,
        events_of.points,
        events_of.is_firm,
        events_of.back_at,
        first_readings.seen_at
    ) as allocated;
end;
$$;
