"""The data folder: created atomically, checked against the version of the programs, configured.

The settings file is rewritten at each start, so that the settings of a newer release reach old
folders. Additions to postgresql.conf are preserved, but the included settings file wins.
"""

import locale
import os
import shutil
import subprocess
from pathlib import Path

from lcm_pipeline.files import last_lines
from lcm_pipeline.processes import run_prepared
from lcm_pipeline.warehouse.embedded.account import Account
from lcm_pipeline.warehouse.embedded.binaries import major_version
from lcm_pipeline.warehouse.embedded.folder import OWN_DATABASE, EmbeddedPostgresError, ServerFolder

DATABASE = "lcm"
SUPERUSER = "lcm"
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
_CREATION_SECONDS = 300
_SETTINGS_FILE = "lcm.conf"
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "Check free disk space")
# Errors are logged tersely and without their statement: the row of a failed COPY, with its personal
# data, never reaches the log.
_SETTINGS = """\
# Rewritten at each start.
shared_buffers = 256MB
max_wal_size = 4GB
max_connections = 100
synchronous_commit = on
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
client_connection_check_interval = 2s
logging_collector = on
log_directory = '../log'
log_filename = 'server-%Y%m%d-%H%M%S.log'
log_file_mode = 0600
log_rotation_age = 1d
log_rotation_size = 10MB
log_checkpoints = off
log_error_verbosity = terse
log_min_error_statement = panic
"""


def prepare_cluster(folder: ServerFolder, binaries: Path, account: Account) -> None:
    """Prepare a data folder that the programs can start; it is created if there is none.

    Raises EmbeddedPostgresError if creating it fails or another major version created it, and
    OSError.
    """
    major = major_version(binaries)
    folder.log_folder.mkdir(mode=0o700, exist_ok=True)
    account.own(folder.log_folder)
    if not folder.data_folder.exists():
        _create(folder, binaries, account=account)
    _check_version(folder.data_folder, binaries, major)
    settings = folder.data_folder / _SETTINGS_FILE
    settings.unlink(missing_ok=True)
    with settings.open("x", encoding="utf-8") as text:
        text.write(_SETTINGS)
    account.own(settings)


def stated_version(data_folder: Path) -> int:
    """The major version that created a data folder; 0 if it states none."""
    stated = data_folder / "PG_VERSION"
    text = stated.read_text("utf-8").strip() if stated.is_file() else ""
    return int(text) if text.isdigit() else 0


def finish_swap(folder: ServerFolder) -> None:
    """Do the last rename of an upgrade that was killed after it had moved the old data folder."""
    if not folder.data_folder.exists() and folder.upgraded_folder.exists():
        folder.upgraded_folder.rename(folder.data_folder)
        fsync_folder(folder.root)


def initialize_cluster(
    data_folder: Path, binaries: Path, account: Account, *, flush: bool = True
) -> None:
    """Run initdb, and include our settings file; the only database is postgres.

    flush: False if the caller flushes the folder to the disk later. Raises EmbeddedPostgresError if
    it fails.
    """
    initdb = [str(binaries / "initdb"), "-D", str(data_folder), "-U", SUPERUSER]
    initdb += [] if flush else ["--no-sync"]
    locale_options = _locale_options(major_version(binaries))
    run_program([*initdb, "-A", "trust", "-E", "UTF8", *locale_options], account)
    with (data_folder / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write(f"include_if_exists = '{_SETTINGS_FILE}'\n")


def fsync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(folder: ServerFolder, binaries: Path, *, account: Account) -> None:
    for abandoned in folder.root.glob("unfinished-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    unfinished = folder.root / f"unfinished-{os.getpid()}"
    try:
        initialize_cluster(unfinished, binaries, account)
        single = [str(binaries / "postgres"), "--single", "-D", str(unfinished)]
        statement = f"create database {DATABASE};\n"
        run_program([*single, "-c", "exit_on_error=on", "template1"], account, statement=statement)
    except EmbeddedPostgresError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    unfinished.rename(folder.data_folder)
    # The rename has to survive a power failure before Postgres writes into the folder.
    fsync_folder(folder.root)


def _locale_options(major: int) -> list[str]:
    if major >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return ["--locale=C"]
    locale.setlocale(locale.LC_CTYPE, before)
    return ["--locale=C.UTF-8"]


def run_program(command: list[str], account: Account, *, statement: str = "") -> None:
    """Run a program of Postgres as the account; raises EmbeddedPostgresError if it fails."""
    try:
        done = run_prepared(
            command,
            account.enter,
            given=statement,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_CREATION_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise EmbeddedPostgresError(
            f"{command[0]} did not end in {_CREATION_SECONDS} s: is the disk of LCM_HOME usable? "
            f"Move LCM_HOME to a faster one, {OWN_DATABASE}"
        ) from error
    if done.returncode != 0:
        output = last_lines(done.stdout)
        raise EmbeddedPostgresError(
            f"{command[0]} failed{explanation(output)}; a rerun starts from scratch, "
            f"{OWN_DATABASE}:\n{output}"
        )


def explanation(log: str) -> str:
    """The likely cause of a failure, from the log, as the end of a clause; empty if unknown."""
    if is_disk_full(log):
        return " because the disk is full: free some space, or move LCM_HOME to another disk"
    if "Permission denied" in log:
        return " because access to its folder is denied: check the owner and mode of LCM_HOME"
    return ""


def is_disk_full(message: str) -> bool:
    """Whether a server reports that its disk is full, or a quota used up."""
    return any(words in message for words in _DISK_FULL)


def _check_version(data_folder: Path, binaries: Path, major: int) -> None:
    found = stated_version(data_folder)
    if found == 0:
        raise EmbeddedPostgresError(
            f"{data_folder} is not a data folder of Postgres: move it away to start empty, "
            f"{OWN_DATABASE}"
        )
    if found != major:
        upgrade = "run lcm upgrade-home, which carries the data over, " if found < major else ""
        raise EmbeddedPostgresError(
            f"{data_folder} was made by PostgreSQL {found}, and {binaries} is PostgreSQL {major}: "
            f"{upgrade}set PG_BINDIR to the programs of PostgreSQL {found}, {OWN_DATABASE}"
        )
