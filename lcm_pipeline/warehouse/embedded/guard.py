"""The postmaster's parent: starts it, brings the keeper back, takes it along in death.

Run as `python -m lcm_pipeline.warehouse.embedded.guard HOME BINARIES SOCKETS ACCOUNT`.

A keeper that is killed is missed here and started again while the server works on. A guard that
is killed takes the server with it by a smart shutdown, which lets open sessions end; a keeper that
lives starts it again. So either may die without harm, and when all watchers die at once, the
kernel itself ends the server: whatever is killed, none is left over.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from lcm_pipeline.warehouse.embedded.account import Account, end_with_parent
from lcm_pipeline.warehouse.embedded.cluster import ENVIRONMENT
from lcm_pipeline.warehouse.embedded.folder import ServerFolder
from lcm_pipeline.warehouse.embedded.launch import launch_supervisor, start_module
from lcm_pipeline.warehouse.embedded.sockets import PORT, remove_socket_folder

_INTERVAL_SECONDS = 0.05
_RELAUNCH_SECONDS = 0.5


def start_guard(
    folder: ServerFolder, binaries: Path, *, sockets: Path, account: Account
) -> subprocess.Popen[bytes]:
    """Start a guard, and with it the server; both write to the start log."""
    owner = f"{account.uid}:{account.gid}:{int(account.is_renamed)}:{account.capability}"
    words = (str(folder.home), str(binaries), str(sockets), owner)
    return start_module("guard", *words, log=folder.start_log)


def main(words: list[str]) -> None:
    """Keep watch until the server has ended."""
    home, binaries, sockets, owner = words
    uid, gid, is_renamed, capability = (int(part) for part in owner.split(":"))
    folder = ServerFolder(Path(home))
    account = Account(uid, gid, is_renamed=bool(is_renamed), capability=capability)
    server = _start_postmaster(folder, Path(binaries), sockets=sockets, account=account)
    while server.poll() is None:
        time.sleep(_INTERVAL_SECONDS)
        if not folder.supervisor_lock.exists():
            # Someone removed the home: there is nothing left to serve.
            server.send_signal(signal.SIGQUIT)
            server.wait()
            remove_socket_folder(Path(sockets))
        elif folder.supervisor_is_gone() and server.poll() is None:
            with suppress(OSError):
                launch_supervisor(folder, Path(binaries))
            time.sleep(_RELAUNCH_SECONDS)


def _start_postmaster(
    folder: ServerFolder, binaries: Path, *, sockets: str, account: Account
) -> subprocess.Popen[bytes]:
    quoted = sockets.replace('"', '""')
    options = {
        "listen_addresses": "",
        "port": PORT,
        "unix_socket_directories": f'"{quoted}"',
        "unix_socket_permissions": "0700",
    }
    command = [str(binaries / "postgres"), "-D", str(folder.data_folder)]
    command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    tie = end_with_parent(os.getpid())

    def prepare() -> None:
        account.enter()
        tie()

    return subprocess.Popen(command, preexec_fn=prepare, env=ENVIRONMENT)  # noqa: S603 - our own


if __name__ == "__main__":
    main(sys.argv[1:])
