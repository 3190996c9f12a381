"""Starts `lcm dashboards` as a person does, and a real browser that opens it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from tests.waiting import PATIENCE, wait_for

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-superset"
_READY = "Superset: http://"


@dataclass(frozen=True)
class Served:
    """A running `lcm dashboards`. output: what it printed until it served."""

    process: subprocess.Popen[str]
    url: str
    home: Path
    output: str

    @property
    def password(self) -> str:
        return (self.home / "superset" / "admin_password").read_text().strip()


def missing() -> str | None:
    """Why dashboards cannot be opened on this machine, and what to run; None if they can."""
    if not (ENVIRONMENT / "bin" / "superset").exists():
        return "Superset is not installed: run `make superset`"
    if chromium() is None:
        return "chromium is not installed: run `apt-get install chromium`"
    return None


def chromium() -> str | None:
    """The path of the system's browser, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def serving_dashboards(
    database_url: str | None, home: Path, language: Language = DEFAULT_LANGUAGE
) -> Iterator["Starting"]:
    """Start the command; it ends with the context."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {name: text for name, text in os.environ.items() if not name.startswith("LCM_")}
    variables["LCM_HOME"] = str(home)
    variables["LCM_LANGUAGE"] = language
    if database_url is not None:
        variables["LCM_DATABASE_URL"] = database_url
    command = [str(Path(sys.executable).parent / "lcm"), "dashboards", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--environment", str(ENVIRONMENT)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables, cwd=home,
        # Tests that run in the background ignore Ctrl-C, and child processes inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    starting = Starting(process, f"http://127.0.0.1:{port}", home)
    try:
        yield starting
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)
        starting.reader.join(PATIENCE)


class Starting:
    """A command that is starting; call `ready` to wait for it."""

    def __init__(self, process: subprocess.Popen[str], url: str, home: Path) -> None:
        self._process, self._url, self._home = process, url, home
        self._lines: list[str] = []
        self._is_ready = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def wait_for(self, words: str) -> None:
        """Wait until it has printed these words."""
        wait_for(
            lambda: words in "".join(self._lines) or self._process.poll() is not None,
            lambda: self._lines,
        )

    def ready(self) -> Served:
        """Wait until it serves; raises AssertionError if it does not."""
        self._is_ready.wait(PATIENCE)
        output = "".join(self._lines)
        assert _READY in output, output
        return Served(self._process, self._url, self._home, output)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.append(line)
                if _READY in line:
                    self._is_ready.set()
        self._is_ready.set()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Run the system's chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--headless", "--no-sandbox"]
        )
        yield browser
        browser.close()
