"""The embedded Postgres: its programs, its data folder, and the processes that run and watch it.

`server` is the entry point of commands; `watch` waits for the server and relaunches its supervisor.
`supervisor` is the process that owns the server, `guard` the parent of the postmaster, `launch`
starts both. `folder` has the paths, the locks and the announced state, `binaries` finds the
programs, `account` chooses the account that they run as, `cluster` creates the data folder,
`postmaster` starts, finds and stops the server, `sockets` makes the folder of its socket.
`loopback` is a TCP port for one login, while `lcm serve` runs.

`upgrade` is `lcm upgrade-home`: it runs two servers of its own (`private_server`), copies from one
to the other (`dump`), and says why it could not (`upgrade_errors`).

The supervisor and the guard are started for every command, so the modules that they import use
neither psycopg, SQLAlchemy, pydantic nor the settings.
"""
