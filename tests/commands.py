"""The `lcm` command as a user runs it: in a process and an environment of its own."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.waiting import PATIENCE

LCM = Path(sys.executable).with_name("lcm")


def environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    # PYTHONPATH, if set, selects the checkout whose code is tested.
    passed_on = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    own = {"HOME": str(tmp_path), "LCM_HOME": str(tmp_path / "home")}
    return {**passed_on, **own, **variables}


def run(tmp_path: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LCM, *words],
        env=environment(tmp_path, **variables),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextlib.contextmanager
def running(
    tmp_path: Path,
    *words: str,
    log: str = "output",
    stop: signal.Signals = signal.SIGTERM,
    **variables: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `lcm` in the background, in a session of its own; what it prints is in the file `log`.

    stop: the signal that it gets at the end, unless it has ended before.
    """
    with (tmp_path / log).open("wb") as output:
        process = subprocess.Popen(
            [LCM, *words],
            env=environment(tmp_path, **variables),
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(stop)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
        # What has not ended, and what a killed command has left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_on_terminal(
    tmp_path: Path, *words: str, stream: str = "stdout", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `lcm` with a terminal as one of stdout and stderr; the other one is a pipe."""
    controller, terminal = pty.openpty()
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: terminal}
    with subprocess.Popen(
        [LCM, *words],
        env=environment(tmp_path, **{"TERM": "dumb", "COLUMNS": "200", **variables}),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        **streams,
    ) as running:
        os.close(terminal)
        shown = b""
        # Linux raises an error when the other side of the terminal is closed.
        with contextlib.suppress(OSError):
            while part := os.read(controller, 65536):
                shown += part
        os.close(controller)
        stdout, stderr = running.communicate(timeout=PATIENCE)
    texts = {"stdout": stdout or b"", "stderr": stderr or b"", stream: shown}
    return subprocess.CompletedProcess(
        words, running.returncode, texts["stdout"].decode(), texts["stderr"].decode()
    )


def run_report(tmp_path: Path, database_url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return run(tmp_path, "report", *words, LCM_DATABASE_URL=database_url, LCM_LANGUAGE="en")
