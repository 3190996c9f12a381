"""What a user of the server asks of its keeper: be there, be ready, be gone."""

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

_ASK_SECONDS = 0.005
_WATCH_SECONDS = 1.0
_READY_SECONDS = 900.0
_STOP_SECONDS = 60.0
_LAUNCHES = 5
# A keeper holds the users' lock for a moment before it says that it is stopping.
_SURE_LOOKS = 3


def await_server(folder: ServerFolder, binaries: Path) -> str:
    """The folder of the socket of a ready server, summoning a keeper when none lives."""
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
        time.sleep(_ASK_SECONDS)
    raise EmbeddedPostgresError(
        f"The server in {folder.root} did not become ready; rerun, {OWN_DATABASE}. "
        f"Its last words:\n{folder.log_tail()}"
    )


def await_stop(folder: ServerFolder, binaries: Path) -> None:
    """Wait until the server has stopped, unless new users came; revive a keeper for it."""
    try:
        if folder.supervisor_is_gone():
            launch_supervisor(folder, binaries)
        deadline = time.monotonic() + _STOP_SECONDS
        looks_in_use = 0
        while not folder.supervisor_is_gone() and time.monotonic() < deadline:
            state, _ = folder.announced()
            looks_in_use += state is not State.STOPPING and folder.is_in_use()
            if looks_in_use >= _SURE_LOOKS:
                return
            time.sleep(_ASK_SECONDS)
    except OSError:
        # The command has done its work: what it cannot stop, the guard or the next one does.
        return


def watch_supervisor(folder: ServerFolder, binaries: Path, is_ending: threading.Event) -> None:
    """Bring the keeper back when it and the guard were killed, for as long as a lease lasts."""
    while not is_ending.wait(_WATCH_SECONDS):
        try:
            if folder.supervisor_is_gone():
                launch_supervisor(folder, binaries)
        except OSError:
            # The next check may succeed; the command itself meets the missing server.
            continue


def _takes_connections(sockets: str) -> bool:
    """Whether someone listens: a keeper needs a moment to notice that its server was killed."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(f"{sockets}/.s.PGSQL.{PORT}") == 0
