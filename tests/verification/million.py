"""`lcm verify` finds one changed row among a million, names it, and `--fix` mends it.

`python -m tests.verification.million` brings the rows in with `lcm sync`, changes one behind the
warehouse's back, then one in the source, and each time asks `lcm verify --all` for it. Everything
runs as a user runs it, each command as a process of its own; prints what each took.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.verification.source import FIRST_CLIENT, FIRST_DAY, LAST_DAY

LCM = Path(sys.executable).with_name("lcm")
ROOT = Path(__file__).resolve().parents[2]
_DAYS = ("--from", str(FIRST_DAY), "--to", str(LAST_DAY))


@dataclass(frozen=True)
class Ended:
    """A command that has ended: seconds of wall time, its largest memory, requests it sent."""

    words: tuple[str, ...]
    code: int
    output: str
    seconds: float
    mebibytes: float
    requests: int


@dataclass(frozen=True)
class Scene:
    """A source, a warehouse, and a folder to run in."""

    source: str
    warehouse: str
    folder: Path

    def lcm(self, *words: str) -> Ended:
        """Run a command to its end."""
        before, started = self.requests(), time.monotonic()
        output = self.folder / "output"
        with output.open("w") as sink:
            process = subprocess.Popen(
                [LCM, *words], env=self._environment(), cwd=self.folder, stdout=sink, stderr=sink
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return Ended(
            words,
            process.returncode,
            output.read_text(),
            time.monotonic() - started,
            usage.ru_maxrss / 1024,
            self.requests() - before,
        )

    def requests(self) -> int:
        """Requests that the source has answered."""
        return int(self._ask("requests")["requests"])

    def change_in_source(self, client: int, number: int) -> None:
        """Turn one row around in the source: no total moves, and no row is new."""
        self._ask("change", {"client": client, "number": number})

    def change_in_warehouse(self) -> tuple[str, ...]:
        """Change one row of core; returns its key: day, client, type, id."""
        with psycopg.connect(self.warehouse) as session:
            row = session.execute(
                "update core.operations set remain = remain + 1 where operation_id ="
                " (select max(operation_id) / 2 from core.operations)"
                " returning operation_date, client_id, component_type, operation_id"
            ).fetchone()
        assert row is not None
        return tuple(map(str, row))

    def rows(self) -> int:
        """Live operations of the warehouse."""
        with psycopg.connect(self.warehouse) as session:
            row = session.execute(
                "select count(*) from core.operations where deleted_at is null"
            ).fetchone()
        return int(row[0]) if row else 0

    def _ask(self, path: str, body: object = None) -> dict[str, int]:
        request = urllib.request.Request(self.source + path, json.dumps(body or {}).encode())
        with urllib.request.urlopen(request) as answer:
            found: dict[str, int] = json.load(answer)
            return found

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LCM_HOME": str(self.folder / "home"),
            "LCM_API_URL": self.source,
            "LCM_DATABASE_URL": self.warehouse,
            "LCM_START_DATE": str(FIRST_DAY),
        }


@contextmanager
def open_scene(warehouse: str, folder: Path, *, clients: int, rows: int) -> Iterator[Scene]:
    """A source in a process of its own, beside a warehouse."""
    words = ["--clients", str(clients), "--rows", str(rows)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.verification.source", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            yield Scene(process.stdout.readline().strip(), warehouse, folder)
        finally:
            process.terminate()


def play(scene: Scene, *, clients: int, rows: int) -> Iterator[Ended]:
    """The whole story; each command once it has ended, and an AssertionError where one lies."""
    # The source sends nothing beside the favourites, and what is absent is no row to compare.
    compared = clients * rows
    yield (ended := scene.lcm("sync", *_DAYS))
    assert (ended.code, scene.rows()) == (0, clients * rows), ended.output
    key = scene.change_in_warehouse()
    yield (ended := scene.lcm("verify", "--all"))
    _check_only_one_differs(ended, compared, key, "remain")
    yield (ended := scene.lcm("verify", "--all", "--fix"))
    _check_it_was_repaired(ended, compared, key, "remain")
    # Deep in the middle: what an ordinary sync would not see before the audit comes by.
    client, number = FIRST_CLIENT + clients // 3, rows // 2
    scene.change_in_source(client, number)
    yield (ended := scene.lcm("verify", "--all", "--fix"))
    identity = (client - FIRST_CLIENT) * rows + number + 1
    _check_it_was_repaired(ended, compared, (str(client), "2", str(identity)), "is_active")
    yield (ended := scene.lcm("verify", "--all"))
    assert (ended.code, scene.rows()) == (0, clients * rows), ended.output
    assert f"compared {compared:,} rows: 0 differ" in _flat(ended)


def _check_only_one_differs(ended: Ended, rows: int, key: tuple[str, ...], column: str) -> None:
    assert ended.code == 3, ended.output
    _check_one_is_named(ended, rows, key, column)


def _check_it_was_repaired(ended: Ended, rows: int, key: tuple[str, ...], column: str) -> None:
    assert ended.code == 0, ended.output
    _check_one_is_named(ended, rows, key, column)
    assert "read 1 clients" in _flat(ended).partition("once more")[2], ended.output


def _check_one_is_named(ended: Ended, rows: int, key: tuple[str, ...], column: str) -> None:
    told = _flat(ended)
    assert f"compared {rows:,} rows: 1 differ" in told, ended.output
    assert f"{', '.join(key)} different {column}" in told, ended.output


def _flat(ended: Ended) -> str:
    return " ".join(ended.output.split())


def main() -> None:
    """Play it with a million rows, and say what each command took."""
    parser = argparse.ArgumentParser(prog="python -m tests.verification.million")
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--rows", type=int, default=500, help="of each client")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_postgres(Path(folder) / "postgres") as warehouse,
        open_scene(warehouse, Path(folder), clients=given.clients, rows=given.rows) as scene,
    ):
        print(f"{given.clients * given.rows:,} operations of {given.clients:,} clients")
        for ended in play(scene, clients=given.clients, rows=given.rows):
            words = " ".join(ended.words)
            print(
                f"lcm {words}: exit {ended.code}, {ended.seconds:.1f} s, {ended.mebibytes:.0f} MiB,"
                f" {ended.requests:,} requests",
                flush=True,
            )
    print("each changed row was found, named and repaired, and no other was touched")


if __name__ == "__main__":
    main()
