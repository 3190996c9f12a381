"""Commands that use an embedded server, as processes of their own, and a look at what runs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg

from tests.waiting import PATIENCE

_USER = """
import sys
from pathlib import Path
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
with embedded_postgres(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""
SOURCES = Path(__file__).resolve().parents[2]


class User:
    """One command that uses the server until the test ends it."""

    def __init__(
        self,
        home: Path,
        python: Sequence[str] = (sys.executable,),
        *,
        account: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [*python, "-c", _USER, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=SOURCES,
            user=account,
            group=account,
            extra_groups=None if account is None else [],
            env=environment,
        )
        self.url = ""

    def await_url(self) -> str:
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.refusal()
        return self.url

    def refusal(self) -> str:
        """What a command that got no server said."""
        _, words = self.process.communicate("\n", timeout=PATIENCE)
        return words

    def leave(self) -> int:
        self.process.communicate("\n", timeout=PATIENCE)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


def started(home: Path) -> User:
    user = User(home)
    user.await_url()
    return user


def supervisor_pids(home: Path) -> list[int]:
    return _pids(home, "embedded.supervisor")


def guard_pids(home: Path) -> list[int]:
    return _pids(home, "embedded.guard")


def postmaster_pid(home: Path) -> int:
    return int((home / "postgres/data/postmaster.pid").read_text().splitlines()[0])


def server_processes(home: Path) -> list[int]:
    """Supervisors, guards, postmasters and backends of a home."""
    found = {*supervisor_pids(home), *guard_pids(home)}
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink().is_relative_to(home):
                found.add(int(process.name))
        except OSError:
            continue
    return sorted(found)


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5) as session:
            return session.execute("select 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def kill_processes(pids: Sequence[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue


def _pids(home: Path, module: str) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(home) in words and any(word.endswith(module) for word in words):
            found.append(int(process.name))
    return found
