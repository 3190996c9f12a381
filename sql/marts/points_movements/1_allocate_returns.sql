-- What silent refunds give back by the convention, see refresh.client_pieces.
create or replace function refresh.returns_by_convention(
    pieces refresh.client_pieces,
    events refresh.client_events
)
returns refresh.match array
language plpgsql immutable
as $$
declare
    piece_class constant integer[] := pieces.class;
    piece_refunds constant bigint[] := pieces.refunds;
    piece_event constant integer[] := pieces.event;
    rest bigint[] := events.points;
    matches refresh.match[] := '{}';
    e integer;
    part bigint;
begin
    for p in reverse cardinality(piece_class) .. 1 loop
        exit when piece_class[p] < 3;
        e := piece_event[p];
        continue when e is null;
        part := least(piece_refunds[p], rest[e]);
        continue when part = 0;
        rest[e] := rest[e] - part;
        matches := matches || (p, e, part)::refresh.match;
    end loop;
    return matches;
end;
$$;

-- What lots lost for sure, and no other event took, did not come back: it is taken away from these matches.
create or replace function refresh.allocate_not_given_back(
    state refresh.allocation,
    pieces refresh.client_pieces,
    events refresh.client_events,
    given_back refresh.match array
)
returns refresh.allocation
language plpgsql immutable
as $$
declare
    piece_bucket constant timestamptz[] := pieces.bucket;
    piece_starts constant timestamptz[] := pieces.starts_at;
    piece_expires constant timestamptz[] := pieces.expires_at;
    piece_class constant integer[] := pieces.class;
    piece_refunds constant bigint[] := pieces.refunds;
    event_bucket constant timestamptz[] := events.bucket;
    event_at constant timestamptz[] := events.at;
    needs bigint[] := state.needs;
    matches refresh.match[] := state.matches;
    m integer := 1;
    lacking bigint;
    part bigint;
begin
    for p in 1 .. cardinality(needs) loop
        exit when piece_class[p] = 3 or m > cardinality(given_back);
        -- A lot that did not end lost for sure what a silent refund cannot have taken.
        lacking := case
            when piece_class[p] = 0 then needs[p]
            when piece_class[p] = 1 and piece_expires[p] = 'infinity' then needs[p] - piece_refunds[p]
            else 0
        end;
        for n in m .. cardinality(given_back) loop
            exit when lacking <= 0;
            if matches[m].points = 0 then
                m := m + 1;
            end if;
            continue when
                event_bucket[matches[n].event] <> piece_bucket[p]
                or event_at[matches[n].event] < piece_starts[p];
            part := least(lacking, matches[n].points);
            continue when part = 0;
            lacking := lacking - part;
            needs[p] := needs[p] - part;
            needs[matches[n].piece] := needs[matches[n].piece] + part;
            matches[n].points := matches[n].points - part;
            matches := matches || (p, matches[n].event, part)::refresh.match;
        end loop;
    end loop;
    return (needs, state.rest, matches);
end;
$$;
