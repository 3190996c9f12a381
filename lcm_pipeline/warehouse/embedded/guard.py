"""The parent of the postmaster: starts it and relaunches the supervisor.

Run as `python -m lcm_pipeline.warehouse.embedded.guard HOME BINARIES SOCKETS ACCOUNT`.

If the supervisor is killed, the guard starts another one while the server continues. If the guard
is killed, the kernel sends the server a smart shutdown, which lets open sessions end, and the
supervisor starts it again. So either can die without harm; if both die at once, the kernel ends
the server, and no process is left over.
"""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from lcm_pipeline.warehouse.embedded.account import Account
from lcm_pipeline.warehouse.embedded.folder import ServerFolder
from lcm_pipeline.warehouse.embedded.launch import launch_supervisor, start_module
from lcm_pipeline.warehouse.embedded.postmaster import start_postmaster
from lcm_pipeline.warehouse.embedded.sockets import PORT, remove_socket_folder

_INTERVAL_SECONDS = 0.05
_RELAUNCH_SECONDS = 0.5


def start_guard(
    folder: ServerFolder, binaries: Path, *, sockets: Path, account: Account
) -> subprocess.Popen[bytes]:
    """Start a guard, and with it the server; both write to the start log."""
    owner = f"{account.uid}:{account.gid}:{int(account.is_renamed)}:{account.capability}"
    arguments = (str(folder.home), str(binaries), str(sockets), owner)
    return start_module("guard", *arguments, log=folder.start_log)


def main(arguments: list[str]) -> None:
    """Start the postmaster, and watch the supervisor until the server has ended."""
    home, binaries, sockets, owner = arguments
    uid, gid, is_renamed, capability = (int(part) for part in owner.split(":"))
    folder = ServerFolder(Path(home))
    account = Account(uid, gid, is_renamed=bool(is_renamed), capability=capability)
    server = start_postmaster(
        Path(binaries),
        folder.data_folder,
        account,
        sockets=Path(sockets),
        settings={"port": PORT},
    )
    while server.poll() is None:
        time.sleep(_INTERVAL_SECONDS)
        if not folder.supervisor_lock.exists():
            # The home was removed: there is no data left to serve.
            server.send_signal(signal.SIGQUIT)
            server.wait()
            remove_socket_folder(Path(sockets))
        elif folder.supervisor_is_gone() and server.poll() is None:
            with suppress(OSError):
                launch_supervisor(folder, Path(binaries))
            time.sleep(_RELAUNCH_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1:])
