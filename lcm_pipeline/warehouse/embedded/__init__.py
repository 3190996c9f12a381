"""The embedded Postgres: its programs, its data folder, and the processes that run and watch it.

server.py          the entry point of commands: the server runs while one uses it
watch.py           waits for the server, and relaunches its supervisor
supervisor.py      the process that owns the server
guard.py           the parent of the postmaster
launch.py          starts a supervisor or a guard
folder.py          the paths, the locks and the announced state
binaries.py        finds the programs of Postgres
account.py         chooses the account that they run as
cluster.py         creates and configures the data folder
postmaster.py      starts, finds and stops the server
sockets.py         makes the folder of its socket
loopback.py        a TCP port for one login, while `lcm serve` runs
upgrade.py         `lcm upgrade-home`: runs an old and a new server, and copies
private_server.py  a server that this process runs for itself
dump.py            copies roles and databases from one to the other
upgrade_errors.py  why an upgrade was not made

The supervisor and the guard are started for every command, so the modules that they import use
neither psycopg, SQLAlchemy, pydantic nor the settings.
"""
