-- purpose: the proven state of the clients that a publish took, and who is pending
-- parameters: run_id, endpoint, last (last day of the window)
-- tag: state-updated
-- A reading that a newer one of the same content superseded still proves the days of its own window.
with confirmed as (
    update sync.client_state as state
    set proven_date = greatest(state.proven_date, %(last)s::date)
    from judged
    where
        judged.verdict = 'superseded'
        and state.endpoint = %(endpoint)s
        and state.client_id = judged.client_id
)

insert into sync.client_state as state (
    endpoint, client_id, source_total, fingerprint, head, header_digest, quarantined, version,
    read_at, proven_date, changed_date, pending_since, last_error
)
select
    %(endpoint)s, client_id, rows, fingerprint, head, header_digest, quarantined, 1,
    read_at, %(last)s, %(last)s, null, null
from publishing
on conflict (endpoint, client_id) do update set
    source_total = excluded.source_total,
    fingerprint = excluded.fingerprint,
    head = excluded.head,
    header_digest = coalesce(excluded.header_digest, state.header_digest),
    quarantined = excluded.quarantined,
    version = state.version + (
        (state.source_total, state.fingerprint, state.header_digest)
        is distinct from
        (excluded.source_total, excluded.fingerprint,
            coalesce(excluded.header_digest, state.header_digest))
    )::integer,
    changed_date = case
        when
            (state.source_total, state.fingerprint, state.header_digest)
            is distinct from
            (excluded.source_total, excluded.fingerprint,
                coalesce(excluded.header_digest, state.header_digest))
            then greatest(state.changed_date, excluded.changed_date)
        else coalesce(state.changed_date, excluded.changed_date)
    end,
    read_at = greatest(state.read_at, excluded.read_at),
    proven_date = greatest(state.proven_date, excluded.proven_date),
    pending_since = null,
    last_error = null;
