-- purpose: the proven state of the clients that a publish took, and who is pending
-- parameters: run_id, endpoint
insert into sync.client_state as state (
    endpoint, client_id, source_total, fingerprint, head, header_digest, quarantined, version,
    read_at, pending_since, last_error
)
select
    %(endpoint)s, client_id, rows, fingerprint, head, header_digest, quarantined, 1,
    read_at, null, null
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
    read_at = greatest(state.read_at, excluded.read_at),
    pending_since = null,
    last_error = null;
