"""Brings a loyalty programme from the LCManagerPartner API into Postgres, exactly.

The folders, top down; each imports only what stands below it:

    cli            the `lcm` command: parses, calls, prints
    definitions    what Dagster loads
    orchestration  owns dagster: assets, checks, jobs, schedules, launching a run
    sync           the engine: roster, reading a client, resuming, publishing, reconciling
    loyalty_api    owns httpx: endpoints, identity, formats, retries, limits, errors
    transform      payload rows to table records, pure functions
    warehouse      owns psycopg: sessions, embedded Postgres, migrations, ledger, publish
    model          the vocabulary: payloads, tables, pages, readings, windows
    settings       every LCM_* variable
    simulator      a loyalty programme to run against; stands apart

Nothing is imported here: the keeper of the embedded server starts light.
"""
