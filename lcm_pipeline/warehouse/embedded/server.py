"""The embedded Postgres: runs from the home folder while at least one command uses it.

A command holds a shared lock for as long as it uses the server, and the kernel releases that lock
however the command ends. A detached supervisor owns the server and stops it when no lock is left.
The guard, which is the postmaster's parent, watches the supervisor, and so does each command. One
of them may be killed without harm to commands; if all are killed at once, the kernel ends the
server (on Linux).

A forked child does not count as a user: its copy of the lock is closed at once. A child that may
outlive its parent enters `embedded_postgres` itself.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from lcm_pipeline.settings import postgres_binaries_override
from lcm_pipeline.warehouse.embedded.binaries import find_binaries
from lcm_pipeline.warehouse.embedded.cluster import DATABASE, SUPERUSER, explanation
from lcm_pipeline.warehouse.embedded.folder import (
    OWN_DATABASE,
    EmbeddedPostgresError,
    ServerFolder,
    State,
    open_lock,
    try_lock,
)
from lcm_pipeline.warehouse.embedded.sockets import PORT
from lcm_pipeline.warehouse.embedded.watch import await_server, await_stop, watch_supervisor

_STOPPING_SECONDS = 200.0
_CHECK_SECONDS = 1.0


class _Lease:
    """The use of one server by this process, shared by all its threads."""

    def __init__(self, folder: ServerFolder) -> None:
        self.folder = folder
        self.holders = 0
        self._binaries = find_binaries(postgres_binaries_override())
        self._lock = open_lock(folder.users_lock)
        self._is_ending = threading.Event()
        self.url = ""

    def start(self) -> None:
        """Wait for a server that is stopping, then make sure that one runs.

        An upgrade of the home is not waited for. Raises EmbeddedPostgresError, OSError.
        """
        deadline = time.monotonic() + _STOPPING_SECONDS
        while not try_lock(self._lock, fcntl.LOCK_SH, patience=_CHECK_SECONDS):
            state, text = self.folder.announced()
            if state is State.UPGRADING:
                raise EmbeddedPostgresError(
                    f"lcm upgrade-home is upgrading {self.folder.root} (process {text}): run this "
                    f"command again when it has ended, {OWN_DATABASE}"
                )
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"The server in {self.folder.root} has been stopping for "
                    f"{_STOPPING_SECONDS:.0f} s; wait and rerun, {OWN_DATABASE}"
                )
        sockets = await_server(self.folder, self._binaries)
        self.url = (
            f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(sockets, safe='')}&port={PORT}"
        )
        threading.Thread(
            target=watch_supervisor,
            args=(self.folder, self._binaries, self._is_ending),
            name="lcm-supervisor-watch",
            daemon=True,
        ).start()

    def end(self) -> None:
        """Release the lock; the last user waits until the server has stopped."""
        self._is_ending.set()
        is_last = try_lock(self._lock, fcntl.LOCK_EX)
        self.close()
        if is_last:
            await_stop(self.folder, self._binaries)

    def close(self) -> None:
        """Close the descriptor of the lock; in a forked child the lock of the parent stays held."""
        os.close(self._lock)


class _Leases:
    """The leases of this process, by home."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._by_home: dict[Path, _Lease] = {}

    def acquire(self, folder: ServerFolder) -> _Lease:
        """Add a holder to the lease of the home; the first holder starts the lease."""
        with self._mutex:
            lease = self._by_home.get(folder.home)
            if lease is None:
                lease = self._start(folder)
                self._by_home[folder.home] = lease
            lease.holders += 1
            return lease

    def release(self, lease: _Lease) -> None:
        """Remove a holder; the last holder ends the lease."""
        with self._mutex:
            # A lease from before a fork belongs to the parent.
            if self._by_home.get(lease.folder.home) is not lease:
                return
            lease.holders -= 1
            if lease.holders == 0:
                del self._by_home[lease.folder.home]
                lease.end()

    def forget(self) -> None:
        """In a forked child: close the inherited leases and start with none."""
        inherited = list(self._by_home.values())
        # Another thread of the parent may have held the mutex at the fork.
        self._mutex = threading.Lock()
        self._by_home = {}
        for lease in inherited:
            lease.close()

    def _start(self, folder: ServerFolder) -> _Lease:
        try:
            folder.create()
            lease = _Lease(folder)
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            lease.start()
        except OSError as error:
            lease.close()
            raise _unusable(folder, error) from error
        except BaseException:
            lease.close()
            raise
        return lease


_LEASES = _Leases()
os.register_at_fork(after_in_child=_LEASES.forget)


@contextmanager
def embedded_postgres(home: Path) -> Iterator[str]:
    """Run a Postgres from `home` for the length of the context and yield its libpq URL.

    Raises EmbeddedPostgresError if it cannot run.
    """
    lease = _LEASES.acquire(ServerFolder(Path(os.path.realpath(home.expanduser()))))
    try:
        yield lease.url
    finally:
        _LEASES.release(lease)


def _unusable(folder: ServerFolder, error: OSError) -> EmbeddedPostgresError:
    reason = str(error.strerror)
    return EmbeddedPostgresError(
        f"Cannot run a Postgres in {folder.root} ({reason}){explanation(reason)}: "
        f"set LCM_HOME to a folder that you may write to, {OWN_DATABASE}"
    )
