"""A checkout as a reader of the README has it, and a programme that is served on loopback."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.docs.commands import ROOT
from tests.waiting import PATIENCE, wait_for

_FILES = ("Makefile", ".env.example", "dagster.yaml", "workspace.yaml", "pyproject.toml",
          "requirements-dev.lock")  # fmt: skip
_FOLDERS = ("docs", "dashboards")


class Checkout:
    """Runs commands in a folder of its own, whose .env is filled in as the README says."""

    def __init__(self, folder: Path, programme: RunningSimulator, warehouse: str) -> None:
        self.folder = folder
        self.programme = programme
        self.warehouse = warehouse
        self.done: dict[str, subprocess.CompletedProcess[str]] = {}
        for name in _FILES:
            shutil.copy(ROOT / name, folder / name)
        for name in _FOLDERS:
            shutil.copytree(ROOT / name, folder / name)
        (folder / ".venv").symlink_to(sys.prefix)
        self._add_program("mail", 'printf "%s\\n" "$@" > mailed')

    @property
    def home(self) -> Path:
        """The default LCM_HOME."""
        return self.folder / ".lcm"

    def configure(self) -> None:
        """Fill in .env, as the reader of the README does after copying it."""
        path = self.folder / ".env"
        shutil.copy(self.folder / ".env.example", path)
        text = path.read_text(encoding="utf-8")
        values = {
            "LCM_API_URL": self.programme.url,
            "LCM_OPERATOR": "5",
            "LCM_TOKEN": "777",
            "LCM_START_DATE": "2026-03-01",
        }
        for name, value in values.items():
            text, found = re.subn(rf"^#?{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
            assert found == 1, f".env.example has no {name}"
        path.write_text(text, encoding="utf-8")

    def environment(self) -> dict[str, str]:
        """What a user has in the environment; settings are in .env."""
        return {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
        }

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the activated environment; later calls return the same result."""
        known = self.done.get(f"{command} {variables}")
        if known is not None:
            return known
        done = subprocess.run(
            ["sh", "-c", f". .venv/bin/activate\n{command}"],
            cwd=self.folder,
            env={**self.environment(), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.done[f"{command} {variables}"] = done
        return done

    def serve(self, command: str, is_serving: Callable[[], bool]) -> int:
        """Run a command that serves until it is stopped; returns its exit code after Ctrl-C."""
        output = self.folder / "served"
        with output.open("w") as written:
            server = subprocess.Popen(
                ["sh", "-c", f". .venv/bin/activate\nexec {command}"],
                cwd=self.folder,
                env={**self.environment(), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(lambda: server.poll() is not None or is_serving(), output.read_text)
            assert server.poll() is None, output.read_text(encoding="utf-8")
            server.send_signal(signal.SIGINT)
            return server.wait(PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                server.kill()
            server.wait()

    def _add_program(self, name: str, script: str) -> None:
        (self.folder / "bin").mkdir(exist_ok=True)
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)


@contextmanager
def open_checkout(folder: Path, programme: RunningSimulator) -> Iterator[Checkout]:
    """A checkout whose embedded server stays up, so that no command waits for it to start."""
    with embedded_postgres(folder / ".lcm") as url:
        yield Checkout(folder, programme, url)
