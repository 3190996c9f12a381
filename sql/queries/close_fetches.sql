-- purpose: record what became of some fetches of a run; returns those that were recorded before
-- parameters: run_id; arrays of equal length: client_id, window_from, status, reading, has_header,
--   single_page, rows, staged, quarantined, base_version, read_at, fingerprint, head, header_digest,
--   error
-- tag: outcomes-recorded
with closed as (
    update sync.fetches
    set
        status = outcome.status,
        reading = outcome.reading,
        has_header = outcome.has_header,
        single_page = outcome.single_page,
        rows = outcome.rows,
        staged = outcome.staged,
        quarantined = outcome.quarantined,
        base_version = outcome.base_version,
        read_at = outcome.read_at,
        fingerprint = outcome.fingerprint,
        head = outcome.head,
        header_digest = outcome.header_digest,
        error = outcome.error,
        attempts = fetches.attempts + 1
    from unnest(
        %(client_id)s::bigint[], %(window_from)s::date[], %(status)s::text[], %(reading)s::text[],
        %(has_header)s::boolean[], %(single_page)s::integer[], %(rows)s::integer[],
        %(staged)s::integer[], %(quarantined)s::integer[], %(base_version)s::bigint[],
        %(read_at)s::timestamptz[], %(fingerprint)s::bytea[], %(head)s::bytea[],
        %(header_digest)s::bytea[], %(error)s::text[]
    ) as outcome (
        client_id, window_from, status, reading, has_header, single_page, rows, staged, quarantined,
        base_version, read_at, fingerprint, head, header_digest, error
    )
    where
        fetches.run_id = %(run_id)s
        and fetches.client_id = outcome.client_id
        and fetches.window_from = outcome.window_from
    returning fetches.client_id, fetches.window_from, fetches.attempts
)

select client_id, window_from from closed where attempts > 1;
