"""The process that owns the embedded server while at least one command uses it.

Run as `python -m lcm_pipeline.warehouse.embedded.supervisor HOME BINARIES`. The process that was
started exits as soon as it holds the supervisor's lock; a forked child goes on. It stops the server
when it gets the users' lock exclusively: then no user is left, and none was missed because it was
killed. It holds that lock while the server stops, so that a command that starts meanwhile waits and
then starts the server again.
"""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lcm_pipeline.warehouse.embedded.account import choose_account
from lcm_pipeline.warehouse.embedded.cluster import explanation, finish_swap, prepare_cluster
from lcm_pipeline.warehouse.embedded.folder import (
    OWN_DATABASE,
    EmbeddedPostgresError,
    ServerFolder,
    State,
    announce,
    open_lock,
    try_lock,
)
from lcm_pipeline.warehouse.embedded.guard import start_guard
from lcm_pipeline.warehouse.embedded.postmaster import (
    Postmaster,
    clear_leftovers,
    find_postmaster,
    stop_postmaster,
    wait_until_ready,
)
from lcm_pipeline.warehouse.embedded.sockets import PORT, make_socket_folder, remove_socket_folder

_INTERVAL_SECONDS = 0.05
_LOCK_PATIENCE_SECONDS = 2.0
_RETRY_SECONDS = 15.0
_START_SECONDS = 300.0
_STOP_SECONDS = 60.0
# Sessions of a server that is shutting down get this long to end on their own.
_GRACE_SECONDS = 3.0
_RETAINED_LOGS = 5
_CLEANUP_SECONDS = 60.0
# Parts of log lines of a start that fails because processes of a crashed server have not ended yet.
_TRANSIENT = ("still in use", "lock file", "Is another")
# On a disk with less room than a block of the file system, Postgres logs nothing.
_LOG_BYTES = 4096


def main(arguments: list[str]) -> None:
    """Take the supervisor's lock and continue as a detached process; return if another has it."""
    folder, binaries = ServerFolder(Path(arguments[0])), Path(arguments[1])
    lock = open_lock(folder.supervisor_lock)
    if not try_lock(lock, fcntl.LOCK_EX, patience=_LOCK_PATIENCE_SECONDS):
        return
    announce(lock, State.STARTING)
    if os.fork() > 0:
        return
    users = open_lock(folder.users_lock)
    try:
        Supervisor(folder, binaries, lock).run_until_unused(users)
    except EmbeddedPostgresError as error:
        announce(lock, State.FAILED, str(error))
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
        announce(
            lock,
            State.FAILED,
            f"The server in {folder.root} cannot run ({reason}){explanation(reason)}; "
            f"fix that and run the command again, {OWN_DATABASE}",
        )
    # The locks are left to the kernel, which releases them after the process has ended: a process
    # that finds them free can be sure that this one is gone.
    os._exit(0)


class Supervisor:
    """Starts the server, restarts it when it dies, and stops it after its last user."""

    def __init__(self, folder: ServerFolder, binaries: Path, lock: int) -> None:
        self._folder = folder
        self._binaries = binaries
        self._lock = lock
        self._guard: subprocess.Popen[bytes] | None = None
        self._next_cleanup = 0.0

    def run_until_unused(self, users: int) -> None:
        """Keep the server running until no process holds the users' lock, then stop it.

        users: the descriptor of the users' lock. Raises EmbeddedPostgresError, OSError.
        """
        known: Postmaster | None = None
        while not try_lock(users, fcntl.LOCK_EX):
            if not self._folder.is_supervised_by(self._lock):
                # The home was removed: the guard ends the server, and a home that is created again
                # gets another supervisor.
                return
            current = find_postmaster(self._folder.data_folder)
            if current is None or current != known or not current.is_ready:
                announce(self._lock, State.STARTING)
                known = self._ensure_running()
                announce(self._lock, State.READY, known.socket_folder)
            self._remove_old_logs()
            time.sleep(_INTERVAL_SECONDS)
        announce(self._lock, State.STOPPING)
        self._stop()

    def _ensure_running(self) -> Postmaster:
        """Adopt a running server or start one; retried for a while after a crash."""
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            started = self._adopt_running() or self._start()
            if started is not None:
                return started
            log = self._folder.end_of_logs()
            # The log may end with lines of an earlier start, which do not name the reason.
            is_full = shutil.disk_usage(self._folder.root).free <= _LOG_BYTES
            if is_full and not explanation(log):
                log = f"{log}\n{os.strerror(errno.ENOSPC)}".strip()
            if time.monotonic() >= deadline or not any(words in log for words in _TRANSIENT):
                raise EmbeddedPostgresError(
                    f"Postgres did not start in {self._folder.data_folder}{explanation(log)}; "
                    "fix that and run the command again, "
                    f"{OWN_DATABASE}. The end of its log:\n{log or 'it is empty'}"
                )
            time.sleep(0.2)

    def _adopt_running(self) -> Postmaster | None:
        running = find_postmaster(self._folder.data_folder)
        # One with another port was left by `lcm upgrade-home`, which was killed.
        is_ours = running is not None and running.port in ("", str(PORT))
        if running is not None and (running.is_stopping or not is_ours):
            stop_postmaster(self._folder.data_folder, patience=_STOP_SECONDS, grace=_GRACE_SECONDS)
            return None
        return self._await_ready() if running is not None else None

    def _start(self) -> Postmaster | None:
        finish_swap(self._folder)
        account = choose_account(self._folder, self._binaries)
        prepare_cluster(self._folder, self._binaries, account)
        sockets = make_socket_folder(self._folder, account)
        clear_leftovers(self._folder.data_folder, sockets)
        self._end_guard()
        self._guard = start_guard(self._folder, self._binaries, sockets=sockets, account=account)
        return self._await_ready()

    def _await_ready(self) -> Postmaster | None:
        """The server once it accepts connections; None if it ended before."""
        try:
            return wait_until_ready(self._folder.data_folder, self._guard, patience=_START_SECONDS)
        except TimeoutError:
            self._stop()
            raise EmbeddedPostgresError(
                f"Postgres was not ready after {_START_SECONDS:.0f} s in"
                f" {self._folder.data_folder}; rerun, {OWN_DATABASE}. The end of its log:\n"
                f"{self._folder.end_of_logs()}"
            ) from None

    def _stop(self) -> None:
        running = find_postmaster(self._folder.data_folder)
        stop_postmaster(self._folder.data_folder, patience=_STOP_SECONDS)
        self._end_guard()
        if running is not None:
            remove_socket_folder(Path(running.socket_folder))

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.wait(timeout=_STOP_SECONDS)
            self._guard = None

    def _remove_old_logs(self) -> None:
        if time.monotonic() < self._next_cleanup:
            return
        self._next_cleanup = time.monotonic() + _CLEANUP_SECONDS
        logs = sorted(self._folder.log_folder.glob("*.log"))
        for log in logs[:-_RETAINED_LOGS]:
            log.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])
