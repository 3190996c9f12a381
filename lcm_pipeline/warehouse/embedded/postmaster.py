"""The postmaster of one data folder: seen, started, adopted, stopped.

Only the keeper calls this, under its lock, so nobody else starts a server in the folder.
Postgres takes any live process with the number in a stale
`postmaster.pid` for its predecessor; a number that belongs to someone else by now is taken out,
and the rest of the file stays, because Postgres finds leftover backends by it.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

_NO_SUCH_PROCESS = 2**31 - 1
_PROC = Path("/proc")


class Postmaster(NamedTuple):
    """A live postmaster: its process, the folder of its socket, its own word on its state."""

    pid: int
    socket_folder: str
    status: str

    @property
    def is_ready(self) -> bool:
        return self.status == "ready"

    @property
    def is_stopping(self) -> bool:
        return self.status == "stopping"


def find_postmaster(data_folder: Path) -> Postmaster | None:
    """The live postmaster of a data folder, None when its pid file is stale or missing."""
    lines = _pid_file_lines(data_folder)
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    if not _is_postmaster_of(pid, data_folder):
        return None
    lines += [""] * 8
    return Postmaster(pid, lines[4].strip(), lines[7].strip())


def stop_postmaster(data_folder: Path, *, patience: float, grace: float = 0.0) -> None:
    """Fast shutdown after `grace` seconds, an immediate one when that takes over `patience`."""
    postmaster = find_postmaster(data_folder)
    if postmaster is None or _has_ended(postmaster.pid, data_folder, grace):
        return
    for stop in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        _signal(postmaster.pid, stop)
        if _has_ended(postmaster.pid, data_folder, patience):
            return


def clear_leftovers(data_folder: Path, socket_folder: Path) -> None:
    """After a crash: end backends without a postmaster, disown a pid that was given away."""
    for pid in _leftover_backends(data_folder):
        _signal(pid, signal.SIGQUIT)
    for leftover in socket_folder.glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)
    lines = _pid_file_lines(data_folder)
    if not lines or not lines[0].strip().isdigit():
        # Killed while it wrote the file: Postgres would refuse to start for good.
        _pid_file(data_folder).unlink(missing_ok=True)
    elif _exists(int(lines[0])):
        rewritten = "\n".join([str(_NO_SUCH_PROCESS), *lines[1:]]) + "\n"
        _pid_file(data_folder).write_text(rewritten, "utf-8", "surrogateescape")


def _leftover_backends(data_folder: Path) -> list[int]:
    if not _PROC.is_dir():
        return []
    return [int(p.name) for p in _PROC.iterdir() if p.name.isdigit() and _serves(p, data_folder)]


def _serves(process: Path, data_folder: Path) -> bool:
    """A backend works in its data folder and shows a title in place of a command line."""
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
    """Read the command line: a backend shows a title there, a zombie nothing."""
    if _PROC.is_dir():
        try:
            words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return Path(os.fsdecode(words[0])).name == "postgres" and os.fsencode(data_folder) in words
    command = ["ps", "-o", "command=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    return "postgres" in listed and str(data_folder) in listed


def _has_ended(pid: int, data_folder: Path, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while _is_postmaster_of(pid, data_folder):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


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
        return True
    return True
