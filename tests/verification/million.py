"""`lcm verify` finds one changed row among a million, names it, and `--fix` repairs it.

`python -m tests.verification.million` loads the rows with `lcm sync`, changes one in the warehouse,
then one in the source, and runs `lcm verify --all` each time. Each command is a separate process,
as for a user; it prints the time, memory and requests of each.
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
from tests.commands import LCM
from tests.verification.source import FIRST_CLIENT, FIRST_DAY, LAST_DAY

ROOT = Path(__file__).resolve().parents[2]
_DAYS = ("--from", str(FIRST_DAY), "--to", str(LAST_DAY))


@dataclass(frozen=True)
class FinishedCommand:
    """A command that has ended: seconds of wall time, peak memory in MiB, requests it sent."""

    words: tuple[str, ...]
    code: int
    output: str
    seconds: float
    mebibytes: float
    requests: int


@dataclass(frozen=True)
class Scene:
    """A source, a warehouse, and a working folder."""

    source: str
    warehouse: str
    folder: Path

    def lcm(self, *words: str) -> FinishedCommand:
        """Run a command and wait for its end."""
        before, started = self.requests(), time.monotonic()
        output = self.folder / "output"
        with output.open("w") as sink:
            process = subprocess.Popen(
                [LCM, *words], env=self._environment(), cwd=self.folder, stdout=sink, stderr=sink
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return FinishedCommand(
            words,
            process.returncode,
            output.read_text(),
            time.monotonic() - started,
            usage.ru_maxrss / 1024,
            self.requests() - before,
        )

    def requests(self) -> int:
        """The number of requests that the source has served."""
        return int(self._request("requests")["requests"])

    def change_in_source(self, client: int, number: int) -> None:
        """Change one row in the source in place: no total changes, and no row is new."""
        self._request("change", {"client": client, "number": number})

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
        """The number of live operations in the warehouse."""
        with psycopg.connect(self.warehouse) as session:
            row = session.execute(
                "select count(*) from core.operations where deleted_at is null"
            ).fetchone()
        return int(row[0]) if row else 0

    def _request(self, path: str, body: object = None) -> dict[str, int]:
        request = urllib.request.Request(self.source + path, json.dumps(body or {}).encode())
        with urllib.request.urlopen(request) as response:
            content: dict[str, int] = json.load(response)
            return content

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
    """Run a source in a separate process, for an existing warehouse."""
    options = ["--clients", str(clients), "--rows", str(rows)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.verification.source", *options],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            yield Scene(process.stdout.readline().strip(), warehouse, folder)
        finally:
            process.terminate()


def play(scene: Scene, *, clients: int, rows: int) -> Iterator[FinishedCommand]:
    """Run all commands and check their results; yields each finished command."""
    # The source has only operations: the empty feeds add no rows to compare.
    compared = clients * rows
    yield (command := scene.lcm("sync", *_DAYS))
    assert (command.code, scene.rows()) == (0, clients * rows), command.output
    key = scene.change_in_warehouse()
    yield (command := scene.lcm("verify", "--all"))
    _check_only_one_differs(command, compared, key, "remain")
    yield (command := scene.lcm("verify", "--all", "--fix"))
    _check_it_was_repaired(command, compared, key, "remain")
    # In the middle of a history, where an ordinary sync sees no change before the next audit.
    client, number = FIRST_CLIENT + clients // 3, rows // 2
    scene.change_in_source(client, number)
    yield (command := scene.lcm("verify", "--all", "--fix"))
    identity = (client - FIRST_CLIENT) * rows + number + 1
    _check_it_was_repaired(command, compared, (str(client), "2", str(identity)), "is_active")
    yield (command := scene.lcm("verify", "--all"))
    assert (command.code, scene.rows()) == (0, clients * rows), command.output
    assert f"compared {compared:,} rows: 0 differ" in _flat(command)


def _check_only_one_differs(
    command: FinishedCommand, rows: int, key: tuple[str, ...], column: str
) -> None:
    assert command.code == 3, command.output
    _check_one_is_named(command, rows, key, column)


def _check_it_was_repaired(
    command: FinishedCommand, rows: int, key: tuple[str, ...], column: str
) -> None:
    assert command.code == 0, command.output
    _check_one_is_named(command, rows, key, column)
    assert "read 1 client " in _flat(command).partition("once more")[2], command.output


def _check_one_is_named(
    command: FinishedCommand, rows: int, key: tuple[str, ...], column: str
) -> None:
    output = _flat(command)
    assert f"compared {rows:,} rows: 1 differ" in output, command.output
    assert f"{', '.join(key)} different {column}" in output, command.output


def _flat(command: FinishedCommand) -> str:
    return " ".join(command.output.split())


def main() -> None:
    """Play the scene with a million rows, and print what each command took."""
    parser = argparse.ArgumentParser(prog="python -m tests.verification.million")
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--rows", type=int, default=500, help="of each client")
    flags = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_postgres(Path(folder) / "postgres") as warehouse,
        open_scene(warehouse, Path(folder), clients=flags.clients, rows=flags.rows) as scene,
    ):
        print(f"{flags.clients * flags.rows:,} operations of {flags.clients:,} clients")
        for command in play(scene, clients=flags.clients, rows=flags.rows):
            words = " ".join(command.words)
            print(
                f"lcm {words}: exit {command.code}, {command.seconds:.1f} s,"
                f" {command.mebibytes:.0f} MiB, {command.requests:,} requests",
                flush=True,
            )
    print("each changed row was found, named and repaired, and no other was touched")


if __name__ == "__main__":
    main()
