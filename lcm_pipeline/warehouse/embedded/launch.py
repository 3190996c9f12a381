"""Starts a supervisor or a guard: in a session of its own, without a terminal or inherited files.

`-S` and `-P` leave site-packages and the working directory out of sys.path. The programs need
neither, start in a few hundredths of a second, and cannot import a module from elsewhere.
"""

import os
import subprocess
import sys
from pathlib import Path

import lcm_pipeline
from lcm_pipeline.warehouse.embedded.folder import ServerFolder

_LAUNCH_SECONDS = 60


def launch_supervisor(folder: ServerFolder, binaries: Path) -> None:
    """Start a supervisor; return once it or another one holds the lock, or it was killed."""
    folder.forget_announcement()
    launcher = start_module(
        "supervisor", str(folder.home), str(binaries), log=folder.supervisor_log
    )
    try:
        launcher.wait(timeout=_LAUNCH_SECONDS)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()


def start_module(name: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a module of this package as a program that writes to `log`. Raises OSError."""
    sources = Path(lcm_pipeline.__file__).resolve().parent.parent
    command = [sys.executable, "-S", "-P", "-m", f"{__package__}.{name}", *arguments]
    # The log is recreated: root may have left one that the owner of the folder cannot write to.
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
