-- Passes of refresh.allocate for refunds: what they gave back.

-- What silent refunds gave back of their own cheques. If they do (give_back_since), or lots show that one did, all
-- refunds since then gave back what came of lots that may be there, too, and of lots that the same reading saw end after
-- the refund, or emptied by one of their own cheque.
create or replace function refresh.allocate_silent_refunds(
    state refresh.allocation,
    pieces refresh.client_pieces,
    events refresh.client_events,
    give_back_since timestamptz
)
returns refresh.allocation
language plpgsql immutable
as $$
declare
    piece_bucket constant timestamptz[] := pieces.bucket;
    piece_open_since constant timestamptz[] := pieces.open_since;
    piece_starts constant timestamptz[] := pieces.starts_at;
    piece_ends constant timestamptz[] := pieces.ends_at;
    piece_class constant integer[] := pieces.class;
    piece_refunds constant bigint[] := pieces.refunds;
    piece_event constant integer[] := pieces.event;
    piece_is_told constant boolean[] := pieces.is_told;
    event_bucket constant timestamptz[] := events.bucket;
    event_at constant timestamptz[] := events.at;
    event_points constant bigint[] := events.points;
    piece_count constant integer := cardinality(pieces.points);
    needs bigint[] := state.needs;
    rest bigint[] := state.rest;
    matches refresh.match[] := state.matches;
    since timestamptz := coalesce(give_back_since, 'infinity');
    last_match integer[];
    earlier_match integer[];
    of_cheques bigint[];
    refund_bucket timestamptz[];
    refund_at timestamptz[];
    e integer;
    m integer;
    part bigint;
    lacking bigint;
begin
    for p in 1 .. piece_count loop
        e := piece_event[p];
        continue when e is null or piece_is_told[p];
        continue when event_bucket[e] < piece_bucket[p] and event_at[e] < piece_open_since[p];
        part := least(needs[p], rest[e]);
        if part > 0 then
            needs[p] := needs[p] - part;
            rest[e] := rest[e] - part;
            matches := matches || (p, e, part, null)::refresh.match;
            since := least(since, piece_bucket[p]);
        end if;
    end loop;
    if since = 'infinity' then
        return (needs, rest, matches);
    end if;
    for p in 1 .. piece_count loop
        e := piece_event[p];
        continue when e is null or piece_is_told[p];
        refund_bucket[e] := piece_bucket[p];
        refund_at[e] := piece_starts[p];
    end loop;
    for m in 1 .. cardinality(matches) loop
        e := matches[m].event;
        if
            piece_class[matches[m].piece] = 2
            or (
                piece_class[matches[m].piece] = 1
                and piece_bucket[matches[m].piece] = refund_bucket[e]
                and piece_ends[matches[m].piece] > refund_at[e]
                and piece_ends[matches[m].piece] < 'infinity'
            )
        then
            earlier_match[m] := last_match[e];
            last_match[e] := m;
            of_cheques[e] := coalesce(of_cheques[e], 0) + matches[m].points;
        end if;
    end loop;
    for p in 1 .. piece_count loop
        e := piece_event[p];
        continue when e is null or piece_is_told[p] or piece_bucket[p] < since;
        m := last_match[e];
        lacking := least(needs[p], of_cheques[e] * piece_refunds[p] / event_points[e]);
        while lacking > 0 and m is not null loop
            part := least(lacking, matches[m].points);
            lacking := lacking - part;
            needs[p] := needs[p] - part;
            matches[m].points := matches[m].points - part;
            matches := matches || (matches[m].piece, e, part, p)::refresh.match;
            if matches[m].points = 0 then
                m := earlier_match[m];
                last_match[e] := m;
            end if;
        end loop;
    end loop;
    return (needs, rest, matches);
end;
$$;

-- Refunds that state it gave back what events took of lots that may be there: those of their own purchase, else those
-- of events before them, the newest first.
create or replace function refresh.allocate_stated_refunds(
    state refresh.allocation,
    pieces refresh.client_pieces,
    events refresh.client_events
)
returns refresh.allocation
language plpgsql immutable
as $$
declare
    piece_starts constant timestamptz[] := pieces.starts_at;
    piece_class constant integer[] := pieces.class;
    piece_event constant integer[] := pieces.event;
    event_at constant timestamptz[] := events.at;
    needs bigint[] := state.needs;
    matches refresh.match[] := state.matches;
    refunds integer[];
    taken integer[];
    last_match integer[];
    earlier_match integer[];
    stack integer[];
    depth integer;
    low integer;
    p integer;
    m integer;
    part bigint;
begin
    refunds := array(
        select refunding.n
        from unnest(needs, piece_class, piece_starts, pieces.is_told)
        with ordinality as refunding (need, class, starts_at, is_told, n)
        where refunding.class = 3 and refunding.need > 0 and refunding.is_told
        order by refunding.starts_at, refunding.n
    );
    if refunds = '{}' then
        return state;
    end if;
    -- Matches by the time of their events; those before a refund lie on a stack.
    taken := array(
        select taking.n
        from unnest(matches)
        with ordinality as taking (piece, event, points, refund_piece, n)
        inner join unnest(piece_class)
        with ordinality as pieces_taken (class, piece)
            on pieces_taken.piece = taking.piece and pieces_taken.class = 2
        inner join unnest(event_at)
        with ordinality as events_taking (at, event)
            on events_taking.event = taking.event
        where taking.points > 0 and taking.refund_piece is null
        order by events_taking.at, taking.n
    );
    foreach m in array taken loop
        earlier_match[m] := last_match[matches[m].event];
        last_match[matches[m].event] := m;
    end loop;
    stack := '{}';
    depth := 0;
    low := 1;
    foreach p in array refunds loop
        while
            low <= cardinality(taken)
            and event_at[matches[taken[low]].event] < piece_starts[p]
        loop
            depth := depth + 1;
            stack[depth] := taken[low];
            low := low + 1;
        end loop;
        while needs[p] > 0 loop
            m := case
                when piece_event[p] is not null then last_match[piece_event[p]]
                when depth > 0 then stack[depth]
            end;
            exit when m is null;
            part := least(needs[p], matches[m].points);
            if part > 0 then
                needs[p] := needs[p] - part;
                matches[m].points := matches[m].points - part;
                matches := matches || (matches[m].piece, matches[m].event, part, p)::refresh.match;
            end if;
            if matches[m].points = 0 then
                if piece_event[p] is not null then
                    last_match[piece_event[p]] := earlier_match[m];
                else
                    depth := depth - 1;
                end if;
            end if;
        end loop;
    end loop;
    return (needs, state.rest, matches);
end;
$$;

-- What refunds gave back to lots that may be there is redeemed again by events after the refund.
create or replace function refresh.allocate_again(
    state refresh.allocation,
    pieces refresh.client_pieces,
    events refresh.client_events
)
returns refresh.allocation
language plpgsql immutable
as $$
declare
    given refresh.client_pieces;
    given_to integer[];
    again refresh.allocation;
    matches refresh.match[] := state.matches;
begin
    with returned as (
        select
            back.piece,
            back.points,
            starts.at as starts_at,
            case when starts.at < ends.at then ends.at else ends.expires_at end as ends_at,
            row_number() over (order by back.piece, starts.at, back.n) as place
        from unnest(matches)
        with ordinality as back (piece, event, points, refund_piece, n)
        inner join unnest(pieces.starts_at) with ordinality as starts (at, piece)
            on starts.piece = back.refund_piece
        inner join unnest(pieces.ends_at, pieces.expires_at)
        with ordinality as ends (at, expires_at, piece)
            on ends.piece = back.piece
    )

    select
        array_agg(piece order by place),
        array_agg(points order by place),
        array_agg(starts_at order by place),
        array_agg(ends_at order by place),
        array_agg(2 order by place)
    into given_to, given.points, given.starts_at, given.ends_at, given.class
    from returned;
    if given_to is null then
        return state;
    end if;
    again := refresh.allocate_by_time(
        (given.points, state.rest, '{}')::refresh.allocation, given, events, is_after_end => false
    );
    for m in 1 .. cardinality(again.matches) loop
        matches := matches || (
            given_to[again.matches[m].piece], again.matches[m].event, again.matches[m].points, null
        )::refresh.match;
    end loop;
    return (state.needs, again.rest, matches);
end;
$$;

-- Events that were given back: sure losses, then lots that ended in between.
create or replace function refresh.allocate_given_back(
    state refresh.allocation,
    pieces refresh.client_pieces,
    events refresh.client_events
)
returns refresh.allocation
language plpgsql immutable
as $$
declare
    piece_bucket constant timestamptz[] := pieces.bucket;
    piece_starts constant timestamptz[] := pieces.starts_at;
    piece_ends constant timestamptz[] := pieces.ends_at;
    piece_class constant integer[] := pieces.class;
    event_at constant timestamptz[] := events.at;
    event_back_at constant timestamptz[] := events.back_at;
    piece_count constant integer := cardinality(pieces.points);
    event_count constant integer := cardinality(events.points);
    needs bigint[] := state.needs;
    rest bigint[] := state.rest;
    matches refresh.match[] := state.matches;
    by_end integer[];
    first_event integer;
    low integer;
    high integer;
    middle integer;
    e integer;
    p integer;
    part bigint;
begin
    -- They come last, in order of time.
    first_event := event_count + 1;
    while first_event > 1 and event_back_at[first_event - 1] is not null loop
        first_event := first_event - 1;
    end loop;
    for p in 1 .. piece_count loop
        continue when piece_class[p] <> 0 or needs[p] = 0;
        e := first_event;
        while needs[p] > 0 and e <= event_count loop
            exit when event_at[e] >= least(piece_ends[p], piece_bucket[p]);
            if rest[e] > 0 and event_at[e] >= piece_starts[p] then
                part := least(needs[p], rest[e]);
                needs[p] := needs[p] - part;
                rest[e] := rest[e] - part;
                matches := matches || (p, e, part, null)::refresh.match;
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
    for e in first_event .. event_count loop
        low := 1;
        high := cardinality(by_end) + 1;
        while low < high loop
            middle := (low + high) / 2;
            if piece_ends[by_end[middle]] > event_at[e] then
                high := middle;
            else
                low := middle + 1;
            end if;
        end loop;
        while rest[e] > 0 and low <= cardinality(by_end) loop
            p := by_end[low];
            exit when piece_ends[p] > event_back_at[e];
            part := least(needs[p], rest[e]);
            if part > 0 and event_at[e] >= piece_starts[p] and event_at[e] < piece_bucket[p] then
                needs[p] := needs[p] - part;
                rest[e] := rest[e] - part;
                matches := matches || (p, e, part, null)::refresh.match;
            end if;
            low := low + 1;
        end loop;
    end loop;
    return (needs, rest, matches);
end;
$$;
