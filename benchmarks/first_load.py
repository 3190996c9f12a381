"""The cost of a first load that is too large for one transaction.

SQL fills staging and the ledger with operations of clients who were never read, as readers leave
them; then they are published as a sync publishes them. Disk is the size of the embedded Postgres's
folder, including its write-ahead log and temporary files; memory is the peak of this process, and
the private memory of all processes of the server. Disk and the server's memory are sampled.

Run with `python -m benchmarks.first_load`; `--batch-rows` larger than `--rows` publishes in one
transaction.
"""

import argparse
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import psycopg

from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.tables import operations
from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.ingest.publish import begin_batches, publish
from lcm_pipeline.warehouse.ingest.runs import Run, begin_run, finish_run
from lcm_pipeline.warehouse.ingest.staging import make_staging
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.sessions import ReconnectingSession

_WINDOW = Window(date(2024, 1, 1), date(2025, 12, 31))
_SAMPLE_SECONDS = 1.0
# The operations of a client are spread over all days of the window.
_STAGE = """
insert into core.clients (
    client_id, registered_at, registration_date, sync_run_id, first_seen_at, synced_at
)
select id, %(first)s::timestamptz, %(first)s, %(run)s, now(), now()
from generate_series(1, %(clients)s::bigint) as id;
insert into sync.fetches (
    run_id, client_id, status, reading, rows, staged, read_at, fingerprint, attempts
)
select
    %(run)s, client_id, 'done', 'full', %(rows_each)s, %(rows_each)s, now(), '\\x00', 1
from core.clients
order by client_id;
insert into staging.operations_r{run} (
    task_id, operation_date, client_id, component_type, operation_id, processed_at, cheque_id,
    cheque_number, pos_id, partner_name, pos_name, amount, redeemed, discount, is_refund
)
select
    fetches.task_id,
    happened.day,
    fetches.client_id,
    2,
    fetches.client_id * 1000 + number,
    happened.day + interval '12 hours',
    fetches.client_id * 1000 + number,
    (fetches.client_id * 1000 + number)::text,
    1 + fetches.client_id %% 200,
    'Partner',
    'Store ' || 1 + fetches.client_id %% 200,
    123.45,
    0,
    0,
    false
from sync.fetches
cross join generate_series(1, %(rows_each)s) as number
cross join lateral (
    select %(first)s::date + ((fetches.client_id * 31 + number * 97) %% %(days)s)::integer as day
) as happened
where fetches.run_id = %(run)s
"""


@dataclass
class Peaks:
    """The largest samples. disk: bytes of the server's folder. memory: MB of its processes."""

    folder: Path
    disk: int = 0
    memory: float = 0.0
    is_over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Sample until `is_over` is set."""
        while not self.is_over.wait(_SAMPLE_SECONDS):
            self.disk = max(self.disk, size_of(self.folder))
            self.memory = max(self.memory, _private_memory(self.folder))


def size_of(folder: Path) -> int:
    """Bytes of disk used by the files of a folder; files may disappear meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def _private_memory(folder: Path) -> float:
    """The private memory of all processes of the server, in MB."""
    pid_file = next(folder.rglob("postmaster.pid"), None)
    if pid_file is None:
        return 0.0
    main = pid_file.read_text().splitlines()[0]
    total = 0
    try:
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    except OSError:
        return 0.0
    for pid in (main, *children):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return total / 1024


@contextmanager
def sampling(folder: Path) -> Iterator[Peaks]:
    """Sample disk and memory for the length of the context."""
    peaks = Peaks(folder)
    thread = threading.Thread(target=peaks.watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        peaks.is_over.set()
        thread.join()


def stage(session: psycopg.Connection, run: Run, clients: int, rows_each: int) -> None:
    """Add clients to the ledger as read, with `rows_each` staged rows each."""
    make_staging(session, run, (operations,))
    values = {
        "run": run.run_id,
        "clients": clients,
        "rows_each": rows_each,
        "first": _WINDOW.first,
        "days": (_WINDOW.last - _WINDOW.first).days + 1,
    }
    for statement in _STAGE.format(run=run.run_id).split(";\n"):
        session.execute(statement.encode(), values)


def load(warehouse: Warehouse, rows: int, rows_each: int, batch_rows: int) -> tuple[float, float]:
    """Stage and publish; returns the seconds of both."""
    with ReconnectingSession(warehouse, "lcm benchmark") as reconnecting:
        run = begin_run(reconnecting, "operations", _WINDOW, Pseudonyms())
        began = time.monotonic()
        reconnecting.run(lambda session: stage(session, run, rows // rows_each, rows_each))
        staged = time.monotonic()
        reconnecting.run(lambda session: begin_batches(session, run, batch_rows))
        reconnecting.run(
            lambda session: publish(
                session, run, (operations,), delete_fuse=0.05, growth_fuse=0, batch_rows=batch_rows
            )
        )
        done = time.monotonic()
        finish_run(reconnecting, run, None, leaves_tasks=True)
    return staged - began, done - staged


def main() -> None:
    """Load once into an empty warehouse, and print time, disk and memory."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--home", type=Path, default=Path(".bench/first-load"))
    options.add_argument("--rows", type=int, default=20_000_000)
    options.add_argument("--rows-each", type=int, default=15, help="operations of a client")
    options.add_argument("--batch-rows", type=int, default=1_000_000)
    flags = options.parse_args()
    shutil.rmtree(flags.home, ignore_errors=True)
    with embedded_postgres(flags.home) as url:
        warehouse = Warehouse(url)
        migrate(warehouse)
        before = size_of(flags.home)
        with sampling(flags.home) as peaks:
            staging, publishing = load(warehouse, flags.rows, flags.rows_each, flags.batch_rows)
        after = size_of(flags.home)
        with warehouse.connect(autocommit=True) as session:
            written = session.execute("select count(*) from core.operations").fetchone()
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{written[0] if written else 0:,} rows in batches of {flags.batch_rows:,}:"
        f" staged in {staging:.0f} s, published in {publishing:.0f} s"
        f"\ndisk: {before / 1e9:.1f} GB before, at most {peaks.disk / 1e9:.1f} GB,"
        f" {after / 1e9:.1f} GB after"
        f"\nmemory: this process at most {ours:.0f} MB, the server's {peaks.memory:.0f} MB"
    )
    shutil.rmtree(flags.home, ignore_errors=True)


if __name__ == "__main__":
    main()
