"""All access to Postgres. Only this package imports psycopg.

ingest/    what a sync writes: runs, tasks, staging, the publish
marts/     installing and refreshing the marts
outbox/    profile updates: loading, claiming, finishing, undoing
privacy/   disclosure, erasure, keyed hashes, removal of what is old
access/    rights, logins, exports, interactive SQL, the data dictionary
embedded/  the embedded Postgres, and the processes that run it

connection.py        a warehouse, and opening the one of the settings
session_settings.py  the settings of every session
poolers.py           refuses a pooler that shares sessions between clients
sessions.py          a session that reconnects when it is lost
transient_errors.py  which errors a retry may overcome
errors.py            errors that the user can fix;  redaction.py  errors without the rows they quote
queries.py           the statements of sql/, by name
migrations.py        creates and upgrades the schema;  schema.py  whether its columns are there
preparation.py       opens the warehouse of the programme for work that calls the API
clock.py             its clock, compared with ours
programme.py         the programme whose data it holds;  identity.py  which database it is
locks.py             what is locked, and how;  lock_waits.py  who holds a lock that is waited for
partitions.py        the months of partitioned tables
request_limits.py    the limits that all processes share
status.py            what `lcm status` shows;  missing_days.py  what `lcm sync --missing` reads
diagnosis.py         what `lcm doctor` reads
"""
