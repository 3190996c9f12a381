"""Copies roles and databases to a newer server: from its pg_dump to its psql."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from lcm_pipeline.files import end_of_log, last_lines
from lcm_pipeline.processes import parent_death_hook, run_prepared, start_prepared
from lcm_pipeline.warehouse.embedded.binaries import major_version
from lcm_pipeline.warehouse.embedded.cluster import ENVIRONMENT, SUPERUSER
from lcm_pipeline.warehouse.embedded.private_server import PrivateServer
from lcm_pipeline.warehouse.embedded.upgrade_errors import UpgradeError

PROGRAMS = ("pg_dump", "pg_dumpall", "psql")
_CHUNK = 2**20
# The locales of clusters before PostgreSQL 17, which sort like the builtin C.UTF-8 of newer ones.
_LOCALE = re.compile(rb" LOCALE_PROVIDER = libc LOCALE = '(?:C|POSIX|C\.UTF-8|C\.utf8)'")
_FIRST_BUILTIN_LOCALE = 17


def copy_roles(old: PrivateServer, new: PrivateServer) -> None:
    """Copy all roles, with their passwords; raises UpgradeError."""
    tie_to_parent = parent_death_hook(os.getpid())
    dump = run_prepared(
        [str(new.programs / "pg_dumpall"), "--globals-only", "-d", old.address("postgres")],
        tie_to_parent, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    if dump.returncode != 0:
        raise UpgradeError("the dump of roles", last_lines(dump.stderr.decode("utf-8", "replace")))
    # Initialization has created this one.
    text = dump.stdout.replace(f"\nCREATE ROLE {SUPERUSER};\n".encode(), b"\n")
    load = run_prepared(
        _psql(new), tie_to_parent,
        given=text, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    if load.returncode != 0:
        raise UpgradeError("the load of roles", last_lines(load.stderr.decode("utf-8", "replace")))


def copy_database(old: PrivateServer, new: PrivateServer, database: str) -> None:
    """Pipe a database from pg_dump to psql; raises UpgradeError."""
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
                if not line.startswith(b"CREATE DATABASE"):
                    load.stdin.write(line)
                    continue
                is_builtin = major_version(new.programs) >= _FIRST_BUILTIN_LOCALE
                load.stdin.write(_LOCALE.sub(b"", line) if is_builtin else line)
                break
            shutil.copyfileobj(dump.stdout, load.stdin, _CHUNK)
            load.stdin.close()
        # Ends pg_dump if psql did not read all.
        dump.stdout.close()
        load.wait()
        dump.wait()
        for what, process, log in (("load", load, load_log), ("dump", dump, dump_log)):
            if process.returncode != 0:
                raise UpgradeError(f"the {what} of database {database}", end_of_log(log))


@contextmanager
def _process(command: list[str], **pipes: IO[bytes] | int) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is killed when the context is left; the kernel ends it with this process."""
    process = start_prepared(
        command, parent_death_hook(os.getpid()), env=ENVIRONMENT, start_new_session=True, **pipes
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _psql(server: PrivateServer, database: str = "postgres") -> list[str]:
    # Terse: details of an error may quote a row.
    return [str(server.programs / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1",
            "-v", "VERBOSITY=terse", "-d", server.address(database)]  # fmt: skip
