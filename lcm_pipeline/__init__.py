"""Brings a loyalty programme from the LCManagerPartner API into Postgres, exactly.

The folders, top down; each imports only what stands below it:

    cli            the `lcm` command: parses, calls, prints
    definitions    what Dagster loads
    orchestration  owns dagster: assets, checks, jobs, schedules, launching a run
    superset       owns Superset: the bundle from its definition, a server to open it in
    sync           the engine: roster, reading a client, publishing, reconciling, writing back
    reporting      owns altair and jinja2: the page of a day, from the marts alone
    loyalty_api    owns httpx: endpoints, identity, formats, retries, limits, errors
    transform      payload rows to table records, pure functions
    warehouse      owns psycopg: sessions, embedded Postgres, migrations, ledger, publish, outbox
    model          the vocabulary: payloads, tables, pages, readings, windows
    settings       every LCM_* variable
    simulator      a loyalty programme to run against; stands apart

Nothing is imported here: the keeper of the embedded server starts light.
"""
