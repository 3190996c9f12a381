"""Waits, for a command, until the server is ready or has stopped, and watches its supervisor."""

import socket
import threading
import time
from pathlib import Path

from lcm_pipeline.warehouse.embedded.folder import (
    OWN_DATABASE,
    EmbeddedPostgresError,
    ServerFolder,
    State,
)
from lcm_pipeline.warehouse.embedded.launch import launch_supervisor
from lcm_pipeline.warehouse.embedded.sockets import PORT

_POLL_SECONDS = 0.005
_WATCH_SECONDS = 1.0
_READY_SECONDS = 900.0
_STOP_SECONDS = 60.0
_LAUNCHES = 5
# A supervisor holds the users' lock for a moment before it announces that it is stopping, so a
# single poll does not prove that there is another user.
_POLLS_IN_USE = 3


def await_server(folder: ServerFolder, binaries: Path) -> str:
    """Wait until the server is ready; returns the folder of its socket.

    Starts a supervisor if none is alive. Raises EmbeddedPostgresError, OSError.
    """
    deadline = time.monotonic() + _READY_SECONDS
    launches = 0
    while time.monotonic() < deadline and launches <= _LAUNCHES:
        is_gone = folder.supervisor_is_gone()
        state, text = folder.announced()
        if not is_gone and state is State.READY and _takes_connections(text):
            return text
        if is_gone and launches and state is State.FAILED:
            raise EmbeddedPostgresError(text)
        if is_gone:
            launch_supervisor(folder, binaries)
            launches += 1
        time.sleep(_POLL_SECONDS)
    raise EmbeddedPostgresError(
        f"The server in {folder.root} did not become ready; rerun, {OWN_DATABASE}. "
        f"The end of its log:\n{folder.end_of_logs()}"
    )


def await_stop(folder: ServerFolder, binaries: Path) -> None:
    """Wait until the server has stopped, or has new users; starts a supervisor if none is alive."""
    try:
        if folder.supervisor_is_gone():
            launch_supervisor(folder, binaries)
        deadline = time.monotonic() + _STOP_SECONDS
        polls_in_use = 0
        while not folder.supervisor_is_gone() and time.monotonic() < deadline:
            state, _ = folder.announced()
            polls_in_use += state is not State.STOPPING and folder.is_in_use()
            if polls_in_use >= _POLLS_IN_USE:
                return
            time.sleep(_POLL_SECONDS)
    except OSError:
        # The command has done its work. The guard or the next command stops the server.
        return


def watch_supervisor(folder: ServerFolder, binaries: Path, is_ending: threading.Event) -> None:
    """Restart the supervisor when it and the guard were killed, until `is_ending` is set."""
    while not is_ending.wait(_WATCH_SECONDS):
        try:
            if folder.supervisor_is_gone():
                launch_supervisor(folder, binaries)
        except OSError:
            # The next check may succeed; if the server is gone, the command itself fails.
            continue


def _takes_connections(sockets: str) -> bool:
    """Whether the server listens: a supervisor notices a killed server only after a moment."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(f"{sockets}/.s.PGSQL.{PORT}") == 0
