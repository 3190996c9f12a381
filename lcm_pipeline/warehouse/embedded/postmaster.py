"""Starts, finds and stops the postmaster of a data folder, and cleans up after one that crashed.

Callers work under the supervisor's lock, so that no other process starts a server in the folder.
Postgres takes any live process with the pid in a stale `postmaster.pid` for its predecessor and
refuses to start. A pid that now belongs to another program is therefore replaced; the rest of the
file stays, because Postgres finds leftover backends by it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lcm_pipeline.processes import parent_death_hook, start_prepared
from lcm_pipeline.waiting import wait_until
from lcm_pipeline.warehouse.embedded.account import Account
from lcm_pipeline.warehouse.embedded.cluster import ENVIRONMENT

# Above the greatest pid of Linux, so never that of a live process.
_UNUSED_PID = 2**31 - 1
_PROC = Path("/proc")


class Postmaster(NamedTuple):
    """A live postmaster: its pid, and what postmaster.pid states ("" if not written yet)."""

    pid: int
    port: str
    socket_folder: str
    status: str

    @property
    def is_ready(self) -> bool:
        return self.status == "ready"

    @property
    def is_stopping(self) -> bool:
        return self.status == "stopping"


def start_postmaster(
    binaries: Path,
    data_folder: Path,
    account: Account,
    *,
    sockets: Path,
    settings: Mapping[str, object],
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a server as the account, on a Unix socket only; it ends when this process dies.

    settings: its port, and others that override those of the folder. options: of Popen.
    """
    quoted = str(sockets).replace('"', '""')
    given = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{quoted}"',
        "unix_socket_permissions": "0700",
        **settings,
    }
    command = [str(binaries / "postgres"), "-D", str(data_folder)]
    for name, value in given.items():
        command += ["-c", f"{name}={value}"]
    tie_to_parent = parent_death_hook(os.getpid())

    def prepare() -> None:
        # In this order: the kernel clears the parent-death signal when credentials change.
        account.enter()
        tie_to_parent()

    return start_prepared(command, prepare, env=ENVIRONMENT, **options)


def find_postmaster(data_folder: Path) -> Postmaster | None:
    """The live postmaster of a data folder; None if its pid file is stale or missing."""
    lines = _pid_file_lines(data_folder)
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    if not _is_postmaster_of(pid, data_folder):
        return None
    # A postmaster that is starting has not written all lines yet.
    lines += [""] * 8
    return Postmaster(pid, lines[3].strip(), lines[4].strip(), lines[7].strip())


def wait_until_ready(
    data_folder: Path, starter: subprocess.Popen[bytes] | None, *, patience: float
) -> Postmaster | None:
    """The postmaster once it accepts connections; None if it ended before.

    starter: the process that is the postmaster or starts it; None if it was running already.
    Raises TimeoutError if it does neither within `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        running = find_postmaster(data_folder)
        if running is not None and running.is_ready:
            return running
        if running is None and (starter is None or starter.poll() is not None):
            return None
        time.sleep(0.005)
    raise TimeoutError(f"no server of {data_folder} is ready after {patience:.0f} s")


def stop_postmaster(data_folder: Path, *, patience: float, grace: float = 0.0) -> None:
    """Stop the postmaster: fast shutdown after `grace` seconds, then immediate, then SIGKILL.

    patience: seconds that each step gets before the next one.
    """
    postmaster = find_postmaster(data_folder)
    if postmaster is None or _wait_for_end(postmaster.pid, data_folder, grace):
        return
    for step in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        _signal(postmaster.pid, step)
        if _wait_for_end(postmaster.pid, data_folder, patience):
            return


def clear_leftovers(data_folder: Path, socket_folder: Path) -> None:
    """Clean up after a crash: backends without a postmaster, old sockets, a reused pid."""
    for process in _PROC.iterdir() if _PROC.is_dir() else ():
        if process.name.isdigit() and _is_backend_of(process, data_folder):
            _signal(int(process.name), signal.SIGQUIT)
    for leftover in socket_folder.glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)
    lines = _pid_file_lines(data_folder)
    if not lines or not lines[0].strip().isdigit():
        # The postmaster was killed while it wrote the file; Postgres would refuse to start.
        _pid_file(data_folder).unlink(missing_ok=True)
    elif _exists(int(lines[0])):
        rewritten = "\n".join([str(_UNUSED_PID), *lines[1:]]) + "\n"
        _pid_file(data_folder).write_text(rewritten, "utf-8", "surrogateescape")


def _is_backend_of(process: Path, data_folder: Path) -> bool:
    """A backend runs in its data folder and has a title in place of its command line."""
    try:
        title = (process / "cmdline").read_bytes()
        return title.startswith(b"postgres:") and (process / "cwd").readlink() == data_folder
    except OSError:
        return False


def _pid_file(data_folder: Path) -> Path:
    return data_folder / "postmaster.pid"


def _pid_file_lines(data_folder: Path) -> list[str]:
    try:
        return _pid_file(data_folder).read_text("utf-8", "surrogateescape").splitlines()
    except FileNotFoundError:
        return []


def _is_postmaster_of(pid: int, data_folder: Path) -> bool:
    """Check the command line: that of a backend is a title, that of a zombie is empty."""
    if _PROC.is_dir():
        try:
            words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return Path(os.fsdecode(words[0])).name == "postgres" and os.fsencode(data_folder) in words
    command = ["ps", "-o", "command=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    return "postgres" in listed and str(data_folder) in listed


def _wait_for_end(pid: int, data_folder: Path, patience: float) -> bool:
    """Whether the postmaster ends within `patience` seconds."""
    return wait_until(lambda: not _is_postmaster_of(pid, data_folder), within=patience, pause=0.01)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it belongs to another user
    return True
