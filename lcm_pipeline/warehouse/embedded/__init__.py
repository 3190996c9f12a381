"""The inside of the embedded Postgres: who starts it, who watches it, as whom it runs.

`folder` where things lie, the locks and the announced state; `binaries` which programs;
`account` as whom they run; `cluster` the data folder; `postmaster` start, adopt, stop;
`supervisor` the process that owns the server; `guard` the postmaster's parent;
`loopback` a TCP port for one login, while `lcm serve` runs.

The supervisor and the guard are started for every command, so nothing here imports psycopg,
SQLAlchemy, pydantic or the settings.
"""
