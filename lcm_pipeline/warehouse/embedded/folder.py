"""The files of an embedded server, its two locks, and the state that its supervisor announces.

`users.lock` is held shared by each process that uses the server, and exclusively by a supervisor
that stops it. `keeper.lock` is held exclusively by the one supervisor; its text is the state that
the supervisor announced last. The kernel releases a flock when its last holder ends, so that
kill -9 leaves no stale lock.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lcm_pipeline.files import QUOTED_LINES, end_of_log, last_lines
from lcm_pipeline.waiting import wait_until

OWN_DATABASE = "or set LCM_DATABASE_URL to a Postgres of your own"
_RECORD_BYTES = 4096


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot run; the message says why and what to do next."""


class State(StrEnum):
    """The state that a supervisor announces, followed by the socket folder or the failure."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"
    # Announced by `lcm upgrade-home`, with its pid.
    UPGRADING = "upgrading"


@dataclass(frozen=True)
class ServerFolder:
    """The folder `postgres` in a home."""

    home: Path

    @property
    def root(self) -> Path:
        return self.home / "postgres"

    @property
    def data_folder(self) -> Path:
        return self.root / "data"

    @property
    def upgrade_folder(self) -> Path:
        """The data folder that an upgrade is filling."""
        return self.root / "upgrade"

    @property
    def upgraded_folder(self) -> Path:
        """The complete data folder of an upgrade, before it replaces the old one."""
        return self.root / "data-upgraded"

    @property
    def has_data(self) -> bool:
        """Whether there is a data folder, also if an upgrade was killed while it replaced it."""
        return self.data_folder.exists() or self.upgraded_folder.exists()

    @property
    def log_folder(self) -> Path:
        return self.root / "log"

    @property
    def start_log(self) -> Path:
        return self.root / "start.log"

    @property
    def supervisor_log(self) -> Path:
        return self.root / "keeper.log"  # the name of earlier releases, see supervisor_lock

    @property
    def users_lock(self) -> Path:
        return self.root / "users.lock"

    @property
    def supervisor_lock(self) -> Path:
        # Earlier releases called the supervisor a keeper. The file keeps its name, so that commands
        # of both releases, used at the same time, share one lock.
        return self.root / "keeper.lock"

    def create(self) -> None:
        """Create the folder, accessible to its owner only."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)

    def supervisor_is_gone(self) -> bool:
        """Whether no supervisor is alive. The lock is shared: callers do not block each other."""
        with opened_lock(self.supervisor_lock) as lock:
            return try_lock(lock, fcntl.LOCK_SH)

    def is_supervised_by(self, lock: int) -> bool:
        """Whether a supervisor's lock is still the file in the folder; the home may be removed."""
        try:
            return os.path.samestat(os.fstat(lock), self.supervisor_lock.stat())
        except FileNotFoundError:
            return False

    def is_in_use(self) -> bool:
        """Whether a user, or a supervisor that stops the server, holds the users' lock."""
        with opened_lock(self.users_lock) as lock:
            return not try_lock(lock, fcntl.LOCK_EX)

    def announced(self) -> tuple[State | None, str]:
        """The state and text that the supervisor announced last; (None, "") if there is none."""
        word, _, text = self.supervisor_lock.read_text("utf-8", "replace").strip().partition(" ")
        return (State(word) if word in set(State) else None), text

    def forget_announcement(self) -> None:
        """Clear the announcement of a dead supervisor, which its successor has not made."""
        with opened_lock(self.supervisor_lock) as lock:
            if try_lock(lock, fcntl.LOCK_SH):
                _write_record(lock, "")

    def end_of_logs(self, most: int = QUOTED_LINES) -> str:
        """The last lines of the logs of the supervisor and the server, at most `most` of them."""
        logs = sorted(self.log_folder.glob("*.log"))[-1:] if self.log_folder.is_dir() else []
        ends = []
        for path in (self.supervisor_log, self.start_log, *logs):
            if path.is_file():
                with path.open("rb") as log:
                    ends.append(end_of_log(log, most))
        return last_lines("\n".join(filter(None, ends)), most)


def announce(supervisor_lock: int, state: State, text: str = "") -> None:
    """Write the state into the lock that this supervisor holds."""
    _write_record(supervisor_lock, f"{state} {text}")


def _write_record(lock: int, text: str) -> None:
    """Overwrite the record, always with the same length, so that it works on a full disk."""
    os.pwrite(lock, text.encode("utf-8", "replace")[:_RECORD_BYTES].ljust(_RECORD_BYTES), 0)


def open_lock(path: Path) -> int:
    """Open a lock file, created for the owner of the folder. The descriptor is closed on exec."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    owner = path.parent.stat()
    if os.geteuid() == 0 and os.fstat(lock).st_uid != owner.st_uid:
        os.fchown(lock, owner.st_uid, owner.st_gid)
    return lock


@contextmanager
def opened_lock(path: Path) -> Iterator[int]:
    """Open a lock file for the length of the context."""
    lock = open_lock(path)
    try:
        yield lock
    finally:
        os.close(lock)


def try_lock(lock: int, operation: int, *, patience: float = 0.0) -> bool:
    """Take the lock, retrying for `patience` seconds; False if others still hold it."""

    def is_taken() -> bool:
        try:
            fcntl.flock(lock, operation | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False
        return True

    return wait_until(is_taken, within=patience, pause=0.01)
