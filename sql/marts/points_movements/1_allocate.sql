-- Matches what lots of one client lost (pieces) with what rows took (events), in hundredths: greedily, in
-- passes, each of which takes an event or finishes a piece at every step, so that a client with a hundred
-- thousand rows takes seconds. In plain SQL, lots of different lifetimes have to be compared with each other.
drop function if exists refresh.allocate cascade;
drop function if exists refresh.allocated cascade;
drop type if exists refresh.client_pieces cascade;
drop type if exists refresh.client_events cascade;
drop type if exists refresh.allocation cascade;
drop type if exists refresh.match cascade;

-- By bucket (the publish that showed the loss; seen_until: the end of the last day of its reading; open_since: the
-- first month of which no earlier reading had shown the end) and spending order.
-- class: 0 was taken by some row, for sure;
-- 1 may have expired or gone with a silent refund as well; 2 may be there still; 3 is no loss but what may
-- have been given back. refunds: the most that silent refunds may have taken. event: of class 3, the event
-- that a refund gives back. is_told: it states the points. expires_at: as ends_at, without the refund that may
-- have emptied the lot. issued_at: when the lot was given; it may start later.
create type refresh.client_pieces as (
    bucket timestamptz array,
    seen_until timestamptz array,
    open_since timestamptz array,
    points bigint array,
    starts_at timestamptz array,
    ends_at timestamptz array,
    expires_at timestamptz array,
    class integer array,
    refunds bigint array,
    event integer array,
    is_told boolean array,
    issued_at timestamptz array
);

-- By bucket and time, those that are firm first. An event with back_at was given back at that time. It takes
-- only what nothing else explains: a sure loss, or a lot that had ended before.
create type refresh.client_events as (
    bucket timestamptz array,
    at timestamptz array,
    points bigint array,
    is_firm boolean array,
    back_at timestamptz array
);

-- refund_piece: of class 3, which gave it back to a piece of a lot that may be there.
create type refresh.match as (piece integer, event integer, points bigint, refund_piece integer);

-- needs: points of each piece that are not matched yet. rest: of each event. A later pass may take points of
-- a match away again.
create type refresh.allocation as (
    needs bigint array,
    rest bigint array,
    matches refresh.match array
);

-- The first pass: what each reading saw, with the rows of that reading. first_reading: of the client; null
-- where the spending order is not known.
create or replace function refresh.allocate_readings(
    pieces refresh.client_pieces,
    events refresh.client_events,
    first_reading timestamptz
)
returns refresh.allocation
language plpgsql immutable
as $$
declare
    piece_bucket constant timestamptz[] := pieces.bucket;
    piece_starts constant timestamptz[] := pieces.starts_at;
    piece_ends constant timestamptz[] := pieces.ends_at;
    piece_issued constant timestamptz[] := pieces.issued_at;
    piece_class constant integer[] := pieces.class;
    event_bucket constant timestamptz[] := events.bucket;
    event_at constant timestamptz[] := events.at;
    event_points constant bigint[] := events.points;
    event_is_firm constant boolean[] := events.is_firm;
    event_back_at constant timestamptz[] := events.back_at;
    piece_count constant integer := cardinality(pieces.points);
    event_count constant integer := cardinality(events.points);
    needs bigint[] := pieces.points;
    rest bigint[] := events.points;
    matches refresh.match[] := '{}';
    refundable bigint[] := pieces.refunds;
    returned bigint := 0;
    limited bigint;
    next_event integer[];
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
    part bigint;
    lacking bigint;
begin
    for n in 1 .. event_count + 2 loop
        next_event[n] := n;
    end loop;
    for n in 1 .. event_count loop
        if event_back_at[n] is not null and event_at[n] < first_reading then
            returned := returned + event_points[n];
        end if;
    end loop;
    while i <= piece_count and piece_class[i] < 3 loop
        first_piece := i;
        last_piece := i;
        lacking := 0;
        while
            last_piece < piece_count and piece_class[last_piece + 1] < 3
            and piece_bucket[last_piece + 1] = piece_bucket[i]
        loop
            last_piece := last_piece + 1;
        end loop;
        while first_event <= event_count and event_bucket[first_event] < piece_bucket[i] loop
            first_event := first_event + 1;
        end loop;
        last_event := first_event - 1;
        firm_event := last_event;
        while last_event < event_count and event_bucket[last_event + 1] = piece_bucket[i] loop
            last_event := last_event + 1;
            if event_is_firm[last_event] then
                firm_event := last_event;
            end if;
        end loop;
        first_match := cardinality(matches) + 1;
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
                        matches := matches || (p, e, part, null)::refresh.match;
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
            -- that vanished, or refunds of an unknown purchase, had taken since the lot was given.
            e := first_event;
            for p in first_piece .. last_piece loop
                exit when lacking = 0;
                continue when piece_class[p] <> 0;
                while needs[p] > 0 and e <= firm_event loop
                    part := least(needs[p], rest[e]);
                    if part > 0 then
                        needs[p] := needs[p] - part;
                        rest[e] := rest[e] - part;
                        lacking := lacking - part;
                        matches := matches || (p, e, part, null)::refresh.match;
                    end if;
                    if rest[e] = 0 then
                        next_event[e] := e + 1;
                    end if;
                    if needs[p] > 0 then
                        e := e + 1;
                    end if;
                end loop;
                low := firm_event + 1;
                high := last_event + 1;
                while low < high loop
                    middle := (low + high) / 2;
                    if event_at[middle] >= piece_issued[p] then
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
                    exit when root > last_event;
                    part := least(needs[p], rest[root]);
                    if part > 0 then
                        needs[p] := needs[p] - part;
                        rest[root] := rest[root] - part;
                        lacking := lacking - part;
                        matches := matches || (p, root, part, null)::refresh.match;
                    end if;
                    if rest[root] = 0 then
                        next_event[root] := root + 1;
                    end if;
                end loop;
            end loop;
            -- Then what was allocated to lots that may have expired, or may be there, instead. If the first
            -- reading saw it and the spending order is known, it is likelier that a row vanished before:
            -- then only what a refund may have taken of these lots, and of lots that may be there what was
            -- given back: somebody had redeemed it meanwhile.
            e := cardinality(matches);
            for p in first_piece .. last_piece loop
                exit when lacking = 0;
                continue when piece_class[p] <> 0;
                while needs[p] > 0 and e >= first_match loop
                    part := least(needs[p], matches[e].points);
                    if piece_bucket[i] <= first_reading then
                        limited := refundable[matches[e].piece];
                        if piece_class[matches[e].piece] = 2 then
                            limited := limited + returned;
                        end if;
                        part := least(part, limited);
                    end if;
                    if piece_class[matches[e].piece] > 0 and part > 0 then
                        needs[p] := needs[p] - part;
                        lacking := lacking - part;
                        needs[matches[e].piece] := needs[matches[e].piece] + part;
                        if piece_class[matches[e].piece] = 2 then
                            returned := returned - greatest(part - refundable[matches[e].piece], 0);
                        end if;
                        refundable[matches[e].piece] := greatest(refundable[matches[e].piece] - part, 0);
                        matches[e].points := matches[e].points - part;
                        matches := matches || (p, matches[e].event, part, null)::refresh.match;
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
    return (needs, rest, matches);
end;
$$;

-- What is left of the pieces of a class, with any event that is left; of a lot that may have expired, with those
-- before its end. What a reading saw missing cannot have gone with a row of a day after it, nor with one of a month
-- that an earlier reading had shown to its end: that showed the row without the loss. Of what refunds gave back,
-- either what they state (are_stated), only with rows of the same reading, or what they do not.
create or replace function refresh.allocate_class(
    state refresh.allocation,
    pieces refresh.client_pieces,
    events refresh.client_events,
    of_class integer,
    are_stated boolean default null
)
returns refresh.allocation
language plpgsql immutable
as $$
declare
    piece_bucket constant timestamptz[] := pieces.bucket;
    piece_seen_until constant timestamptz[] := pieces.seen_until;
    piece_open_since constant timestamptz[] := pieces.open_since;
    piece_ends constant timestamptz[] := pieces.ends_at;
    piece_class constant integer[] := pieces.class;
    piece_is_told constant boolean[] := pieces.is_told;
    event_bucket constant timestamptz[] := events.bucket;
    event_at constant timestamptz[] := events.at;
    event_is_firm constant boolean[] := events.is_firm;
    piece_count constant integer := cardinality(pieces.points);
    event_count constant integer := cardinality(events.points);
    needs bigint[] := state.needs;
    rest bigint[] := state.rest;
    matches refresh.match[] := state.matches;
    e integer := 1;
    part bigint;
begin
    for p in 1 .. piece_count loop
        continue when needs[p] = 0 or piece_class[p] <> of_class;
        continue when piece_is_told[p] <> are_stated;
        while needs[p] > 0 and e <= event_count loop
            if are_stated and event_bucket[e] < piece_bucket[p] then
                e := e + 1;
                continue;
            end if;
            exit when are_stated and event_bucket[e] > piece_bucket[p];
            exit when of_class = 1 and rest[e] > 0 and event_at[e] >= piece_ends[p];
            exit when
                rest[e] > 0 and event_is_firm[e]
                and event_bucket[e] > piece_bucket[p] and event_at[e] >= piece_seen_until[p];
            if
                rest[e] > 0 and event_is_firm[e]
                and (event_bucket[e] >= piece_bucket[p] or event_at[e] >= piece_open_since[p])
            then
                part := least(needs[p], rest[e]);
                needs[p] := needs[p] - part;
                rest[e] := rest[e] - part;
                matches := matches || (p, e, part, null)::refresh.match;
            end if;
            if needs[p] > 0 then
                e := e + 1;
            end if;
        end loop;
    end loop;
    return (needs, rest, matches);
end;
$$;

-- Lots of a class, with events by their time: while the lot could be used, or also after its end. Of lots that may be
-- there still, what a refund may have taken was there, if nothing else explains a row.
create or replace function refresh.allocate_by_time(
    state refresh.allocation,
    pieces refresh.client_pieces,
    events refresh.client_events,
    is_after_end boolean,
    of_class integer default 2,
    are_firm boolean default true
)
returns refresh.allocation
language plpgsql immutable
as $$
declare
    piece_starts constant timestamptz[] := pieces.starts_at;
    piece_ends constant timestamptz[] := pieces.ends_at;
    piece_class constant integer[] := pieces.class;
    event_at constant timestamptz[] := events.at;
    event_is_firm constant boolean[] := events.is_firm;
    piece_count constant integer := cardinality(pieces.points);
    needs bigint[] := state.needs;
    rest bigint[] := state.rest;
    matches refresh.match[] := state.matches;
    by_time integer[];
    next_event integer[];
    last_event integer;
    low integer;
    high integer;
    middle integer;
    e integer;
    root integer;
    part bigint;
begin
    by_time := array(
        select taking.n
        from unnest(event_at, event_is_firm, events.back_at)
        with ordinality as taking (at, is_firm, back_at, n)
        where taking.is_firm = are_firm and taking.back_at is null
        order by taking.at, taking.n
    );
    last_event := cardinality(by_time) + 1;
    for n in 1 .. last_event loop
        next_event[n] := n;
    end loop;
    for p in 1 .. piece_count loop
        continue when needs[p] = 0 or piece_class[p] <> of_class;
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
            exit when not is_after_end and event_at[e] >= piece_ends[p];
            part := least(needs[p], rest[e]);
            if part > 0 then
                needs[p] := needs[p] - part;
                rest[e] := rest[e] - part;
                matches := matches || (p, e, part, null)::refresh.match;
            end if;
            if rest[e] = 0 then
                next_event[root] := root + 1;
            end if;
        end loop;
    end loop;
    return (needs, rest, matches);
end;
$$;

-- All passes. What is left of the readings: losses without a row, lots that may be there, points given back,
-- and lots that ended later (points that could not be used yet may be clawed back).
create or replace function refresh.allocate(
    pieces refresh.client_pieces,
    events refresh.client_events,
    first_reading timestamptz,
    give_back_since timestamptz
)
returns table (piece integer, event integer, points bigint, refund_piece integer)
language plpgsql immutable
as $$
declare
    state refresh.allocation := refresh.allocate_readings(pieces, events, first_reading);
    are_sure constant boolean := 0 = any(pieces.class);
    may_be_there constant boolean := 2 = any(pieces.class);
    unrefunded refresh.client_pieces := pieces;
    doubtful refresh.client_pieces := pieces;
begin
    if are_sure then
        state := refresh.allocate_class(state, pieces, events, 0);
    end if;
    if may_be_there then
        state := refresh.allocate_by_time(state, pieces, events, is_after_end => false);
    end if;
    if 3 = any(pieces.class) then
        state := refresh.allocate_silent_refunds(state, pieces, events, give_back_since);
        state := refresh.allocate_class(
            state, pieces, events, 3, are_stated => true
        );
        state := refresh.allocate_class(
            state, pieces, events, 3, are_stated => false
        );
        state := refresh.allocate_stated_refunds(state, pieces, events);
        state := refresh.allocate_again(state, pieces, events);
    end if;
    if 1 = any(pieces.class) then
        state := refresh.allocate_class(state, pieces, events, 1);
    end if;
    if may_be_there then
        state := refresh.allocate_by_time(state, pieces, events, is_after_end => true);
    end if;
    -- A silent refund may have taken nothing: what nothing else explains was redeemed after it.
    if 1 = any(pieces.class) and pieces.expires_at <> pieces.ends_at then
        unrefunded.ends_at := pieces.expires_at;
        state := refresh.allocate_class(state, unrefunded, events, 1);
    end if;
    -- Rows that vanished, and refunds of an unknown purchase, of other readings: since the lot was given, in a month
    -- that was open.
    if are_sure and false = any(events.is_firm) then
        doubtful.starts_at := array(
            select greatest(starts.issued_at, starts.open_since)
            from unnest(pieces.issued_at, pieces.open_since)
            with ordinality as starts (issued_at, open_since, n)
            order by starts.n
        );
        doubtful.ends_at := pieces.seen_until;
        state := refresh.allocate_by_time(
            state, doubtful, events, is_after_end => false, of_class => 0, are_firm => false
        );
    end if;
    if array_remove(events.back_at, null) <> '{}' then
        state := refresh.allocate_given_back(state, pieces, events);
    end if;
    return query
    select
        matches.piece,
        matches.event,
        matches.points,
        matches.refund_piece
    from unnest(state.matches) as matches
    where matches.points > 0;
end;
$$;

-- What refresh.allocate matches, of all clients of two temporary tables: pieces (client_id, piece, seen_at,
-- points, starts_at, ends_at, expires_at, class, refund_limit, of_cheque_id) and events (client_id, event, kind,
-- cheque_id, seen_at, at, points, is_firm, back_at). piece and event are numbers from 1 of each client, in the order of
-- refresh.client_pieces and refresh.client_events. refund_limit is null where no silent refund takes any of a
-- piece, of_cheque_id where none gives it back; is_told is true of refunds that state points.
create or replace function refresh.allocated(may_lack_rows boolean)
returns table (
    client_id bigint, piece integer, event integer, points numeric(19, 2), refund_piece integer
)
language plpgsql
as $$
#variable_conflict use_column
begin
    return query
    select
        pieces_of.client_id,
        allocated.piece,
        allocated.event,
        (allocated.points / 100.0)::numeric(19, 2) as points,
        allocated.refund_piece
    from (
        select
            pieces.client_id,
            (
                array_agg(pieces.seen_at order by pieces.piece),
                array_agg(
                    case
                        when seen.seen_day is not null
                            then (seen.seen_day + 1)::timestamp at time zone chosen.timezone
                        else 'infinity'
                    end order by pieces.piece
                ),
                array_agg(
                    case
                        -- Of a lot that comes late, no earlier reading showed anything.
                        when
                            least(lots.first_seen_at, gone_first.first_seen_at) < pieces.seen_at
                            or pieces.class = 3
                            then seen.open_day::timestamp at time zone chosen.timezone
                        else '-infinity'
                    end order by pieces.piece
                ),
                array_agg((pieces.points * 100)::bigint order by pieces.piece),
                array_agg(pieces.starts_at order by pieces.piece),
                array_agg(pieces.ends_at order by pieces.piece),
                array_agg(pieces.expires_at order by pieces.piece),
                array_agg(pieces.class order by pieces.piece),
                array_agg((coalesce(pieces.refund_limit, 0) * 100)::bigint order by pieces.piece),
                array_agg(events.event order by pieces.piece),
                array_agg(pieces.is_told order by pieces.piece),
                array_agg(coalesce(lots.issued_at, '-infinity') order by pieces.piece)
            )::refresh.client_pieces as pieces
        from pieces
        cross join chosen
        left join seen on seen.seen_at = pieces.seen_at
        left join lots
            on
                lots.client_id = pieces.client_id
                and lots.component_type = pieces.component_type
                and lots.lot_id = pieces.lot_id
        left join gone_first
            on
                gone_first.component_type = pieces.component_type
                and gone_first.operation_id = pieces.lot_id
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
            (
                array_agg(seen_at order by event),
                array_agg(at order by event),
                array_agg((points * 100)::bigint order by event),
                array_agg(is_firm order by event),
                array_agg(back_at order by event)
            )::refresh.client_events as events
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
    left join (
        select client_id, min(seen_at) as seen_at
        from returned_to_lots
        where not is_told
        group by client_id
    ) as returned_silently on returned_silently.client_id = pieces_of.client_id
    cross join chosen
    cross join lateral refresh.allocate(
        pieces_of.pieces,
        events_of.events,
        first_readings.seen_at,
        case
            when chosen.silent_refunds_give_back then '-infinity'
            else returned_silently.seen_at
        end
    ) as allocated;
end;
$$;
