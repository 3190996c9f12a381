"""Prepares a local Superset and serves it on loopback until it is stopped.

Its files are in `superset` in LCM_HOME, readable only by the owner: its SQLite database, its
session key, the password of its administrator, the password of its warehouse login. The calling
process has to outlive the server, because it holds the lease on the embedded Postgres; the server
is terminated when that process ends, even if it is killed.
"""

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lcm_pipeline.files import end_of_log
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.ports import listen_error
from lcm_pipeline.processes import parent_death_hook, start_prepared
from lcm_pipeline.settings import DEFAULT_TIMEZONE, child_environment
from lcm_pipeline.settings.secrets import stored_secret
from lcm_pipeline.superset.bundle import DATABASE_FILE
from lcm_pipeline.superset.definition import dashboards_folder

ADMINISTRATOR = "admin"
_STARTING_SECONDS = 120.0
_PREPARING_SECONDS = 600.0
_STOPPING_SECONDS = 15.0
_QUOTED_LINES = 15


class SupersetUnavailableError(UsageError):
    """Superset cannot be started; the message says why and what to do next."""


@dataclass(frozen=True)
class SupersetHome:
    """A Superset on this machine. programs: `bin` of its environment. folder: its own files.

    Its menus are in `language`; "today" in its filters is the current day in `timezone`.
    """

    programs: Path
    folder: Path
    language: Language = DEFAULT_LANGUAGE
    timezone: str = DEFAULT_TIMEZONE

    @property
    def password_file(self) -> Path:
        return self.folder / "admin_password"

    @property
    def log(self) -> Path:
        return self.folder / "superset.log"

    def open_log(self) -> IO[bytes]:
        """The log, to append to it; readable only by the owner."""
        return open(self.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))

    def secret(self, name: str) -> str:
        """The secret stored in the file of that name; generated if the file does not exist."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return stored_secret(self.folder / name)

    def environment(self) -> dict[str, str]:
        """The environment of Superset's processes, without LCM_*, which hold our secrets."""
        server = dashboards_folder() / "server"
        return child_environment() | {
            "SUPERSET_HOME": str(self.folder),
            "SUPERSET_CONFIG_PATH": str(server / "superset_config.py"),
            "SUPERSET_LANGUAGE": self.language,
            # Superset computes "today" in filters from the local time of its process.
            "TZ": self.timezone,
            "PYTHONWARNINGS": "ignore",
            "PYTHONUNBUFFERED": "1",
        }


def find_superset(
    environment: Path,
    home: Path,
    language: Language = DEFAULT_LANGUAGE,
    timezone: str = DEFAULT_TIMEZONE,
) -> SupersetHome:
    """Find Superset in its own environment; raises SupersetUnavailableError if it is not there."""
    programs = environment.absolute() / "bin"
    if not (programs / "gunicorn").exists() or not (programs / "superset").exists():
        lock = dashboards_folder() / "requirements.lock"
        raise SupersetUnavailableError(
            f"There is no Superset in {environment}: run `make superset` in a checkout, or"
            f" `python3 -m venv {environment} && {environment}/bin/pip install --require-hashes -r"
            f" {lock}` with a Python of 3.10 to 3.12, or name its environment with --environment"
        )
    return SupersetHome(programs, home / "superset", language, timezone)


def prepare(superset: SupersetHome, bundle: Mapping[str, bytes], uri: str) -> None:
    """Bring Superset's tables, roles, administrator and the bundle up to date.

    Raises SupersetUnavailableError, with the end of the log, if that fails.
    """
    superset.secret("secret_key")
    task = {
        "bundle": {name: text.decode() for name, text in bundle.items()},
        "database_file": DATABASE_FILE,
        "uri": uri,
        "user": ADMINISTRATOR,
        "password": superset.secret("admin_password"),
    }
    command = [superset.programs / "python", dashboards_folder() / "server" / "prepare.py"]
    with superset.open_log() as log:
        try:
            done = subprocess.run(  # noqa: S603 - our own arguments
                command, input=json.dumps(task).encode(), stdout=log, stderr=log,
                env=superset.environment(), cwd=superset.folder, timeout=_PREPARING_SECONDS,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise SupersetUnavailableError(
                f"Superset was not ready in {_PREPARING_SECONDS:.0f} s; see {superset.log}"
            ) from error
    if done.returncode != 0:
        raise SupersetUnavailableError(f"Superset could not be prepared:\n{_end_of(superset.log)}")


@contextmanager
def serving(superset: SupersetHome, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Serve Superset on loopback within the context, which is entered once it responds."""
    check_port(port)
    command = [
        str(superset.programs / "gunicorn"), "superset.app:create_app()",
        "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8",
        "--worker-class", "gthread", "--timeout", "120", "--log-level", "warning",
    ]  # fmt: skip
    with superset.open_log() as log:
        server = start_prepared(
            command, parent_death_hook(os.getpid()),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=superset.folder,
            env=superset.environment(), start_new_session=True,
        )  # fmt: skip
        try:
            _await_health(server, port, superset.log)
            yield server
        finally:
            _stop(server)


def check_port(port: int) -> None:
    """Raise SupersetUnavailableError if another process listens on the port."""
    if error := listen_error("127.0.0.1", port):
        raise SupersetUnavailableError(
            f"Port {port} cannot be used ({error.strerror}): choose another with --port"
        ) from error


def _await_health(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _STARTING_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == http.client.OK:
                return
        except (OSError, http.client.HTTPException):
            pass  # it is starting
        finally:
            connection.close()
        time.sleep(0.3)
    raise SupersetUnavailableError(f"Superset did not start:\n{_end_of(log)}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(_STOPPING_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _end_of(path: Path) -> str:
    with path.open("rb") as log:
        return end_of_log(log, _QUOTED_LINES)
