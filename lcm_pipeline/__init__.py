"""Brings a loyalty programme from the LCManagerPartner API into Postgres, exactly.

The folders, top down; each imports only those below it:

    cli            the `lcm` command: parses, calls, prints
    definitions    what Dagster loads
    orchestration  owns dagster: assets, checks, jobs, schedules, launching a run
    superset       owns Superset: the bundle from its definition, a server to open it in
    verify         compares the warehouse with the source again, and repairs what differs
    doctor         checks all that the daily load depends on
    push           the write-back: profile updates from the outbox or a CSV file to the API
    sync           the engine: roster, fan-out, reading a client, running and publishing a feed
    reporting      owns altair and jinja2: the page of a day, from the marts alone
    api            owns httpx: one call, authentication, formats, retries, limits, errors
    warehouse      owns psycopg: sessions, locks, migrations, status, and six packages: ingest
                     (runs, tasks, publish), marts, outbox, access, privacy, embedded (a server)
    settings       every LCM_* variable
    feeds          the registry: one entry per feed
    transform      payload rows to table records, pure functions
    reading        the proof of one client's history: scan, seams, growth, fingerprint; pure
    proxies        which proxy the usual environment variables name for an address
    files          files: shipped with the package, replaced atomically; the end of a log
    waiting        waits for a condition, for some seconds at most
    ports          addresses of servers, whether one can listen, and who does
    processes      handles signals for a while, and ends a process with its parent
    model          the vocabulary: payloads, endpoints, tables, tasks, windows
    simulator      a loyalty programme to run against; imports none of these

Nothing is imported here: the supervisor of the embedded server starts light.
"""
