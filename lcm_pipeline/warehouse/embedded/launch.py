"""How a keeper or a guard is started: its own session, no terminal, nothing inherited.

`-S` and `-P` leave out site-packages and the working directory: the programs need neither, start
in a few hundredths of a second and cannot pick up a stranger's module.
"""

import os
import subprocess
import sys
from pathlib import Path

import lcm_pipeline
from lcm_pipeline.warehouse.embedded.folder import ServerFolder

_LAUNCH_SECONDS = 60


def launch_supervisor(folder: ServerFolder, binaries: Path) -> None:
    """Start a keeper and return when it holds its lock, or another does, or it was killed."""
    folder.forget_announcement()
    launcher = start_module(
        "supervisor", str(folder.home), str(binaries), log=folder.supervisor_log
    )
    try:
        launcher.wait(timeout=_LAUNCH_SECONDS)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()


def start_module(name: str, *words: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a module of this folder as a program that writes into `log`."""
    sources = Path(lcm_pipeline.__file__).resolve().parent.parent
    command = [sys.executable, "-S", "-P", "-m", f"{__package__}.{name}", *words]
    # Anew each time: root may have written it for a folder that is an ordinary user's.
    log.unlink(missing_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            command,
            env={"PATH": os.defpath, "PYTHONPATH": str(sources)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
