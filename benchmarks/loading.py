"""How long a publish takes, compared with a bare COPY and upsert of the same number of rows.

Both load new operations of known clients into the same grown warehouse, in turns. Ours stages them
with their ledger and, in one transaction, decides what to accept, compares, writes rows and their
history, and records the state of the clients and the changes for the marts; the bare load does none
of that. Then the same rows are loaded again, which must write nothing, while one reader runs the
queries of the dashboards' charts in a loop, and another counts a day's rows in core. A watcher
samples whether either waits for a lock.
"""

import argparse
import itertools
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Generic, TypeVar

import psycopg

from benchmarks.charts import questions
from benchmarks.grown import LAST_DAY, Growth, grow, is_grown
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.tables import operations
from lcm_pipeline.model.tasks import Outcome, StagedRows, Task
from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.ingest import tasks
from lcm_pipeline.warehouse.ingest.publish import publish
from lcm_pipeline.warehouse.ingest.runs import Run, begin_run, finish_run, read_counts
from lcm_pipeline.warehouse.ingest.staging import make_staging
from lcm_pipeline.warehouse.sessions import ReconnectingSession

_ROWS_EACH = 50
_BATCH = 64
_COUNT = "select count(*) from core.operations where operation_date = date '2026-03-15'"
_READER = "lcm benchmark reader"
_SAMPLE_SECONDS = 0.005
_WAITING = (
    "select count(*) from pg_stat_activity"
    f" where application_name = '{_READER}' and wait_event_type = 'Lock'"
)

Record = tuple[object, ...]
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Batch:
    """New operations of some clients. number: distinguishes the batches of a benchmark.

    day: when they happened; None spreads them over the last month of the grown history.
    """

    number: int
    clients: Sequence[int]
    rows_each: int = _ROWS_EACH
    day: date | None = None

    def records(self, client_id: int) -> list[Record]:
        """The client's rows, with their values in the order of the staging columns."""
        days = self.rows_each * [self.day] if self.day else _spread(self.rows_each)
        return [_record(self.number, client_id, row, day) for row, day in enumerate(days)]


@dataclass(frozen=True)
class Timing:
    """Seconds of staging and publishing in one load, and the rows that it wrote."""

    staged: float
    published: float
    rows: int

    @property
    def whole(self) -> float:
        """Total seconds."""
        return self.staged + self.published


def load_ours(warehouse: Warehouse, batch: Batch, *, is_known: bool = False) -> Timing:
    """Stage and publish as a sync does, without the API. is_known: the rows were loaded before."""
    window = Window(LAST_DAY + timedelta(days=batch.number), LAST_DAY + timedelta(batch.number))
    with ReconnectingSession(warehouse, "lcm benchmark") as reconnecting:
        run = begin_run(reconnecting, "operations", window, Pseudonyms())
        reconnecting.run(lambda session: make_staging(session, run, (operations,)))
        claimed = reconnecting.run(lambda session: _claim(session, run, batch.clients))
        began = time.monotonic()
        for outcomes in _outcomes(batch, claimed, added=0 if is_known else batch.rows_each):
            reconnecting.run(
                lambda session, o=outcomes: tasks.record_outcomes(session, run, (operations,), o)
            )
        staged = time.monotonic()
        reconnecting.run(
            lambda session: publish(session, run, (operations,), delete_fuse=0.05, growth_fuse=0)
        )
        done = time.monotonic()
        written = reconnecting.run(lambda session: read_counts(session, run))["rows_written"]
        finish_run(reconnecting, run, None, leaves_tasks=True)
    return Timing(staged - began, done - staged, written)


def load_bare(warehouse: Warehouse, batch: Batch) -> Timing:
    """COPY into an unlogged table, then one upsert of the rows that differ."""
    staging, columns = ", ".join(operations.staging_columns), ", ".join(operations.columns)
    selected = columns.replace("extra", "extra::jsonb")
    values = [name for name in operations.columns if name not in operations.key]
    with warehouse.connect(application_name="bare benchmark") as session:
        began = time.monotonic()
        kinds = zip(operations.staging_columns, operations.staging_types, strict=True)
        made = ", ".join(f"{name} {kind}" for name, kind in kinds)
        session.execute(f"create unlogged table staging.bare ({made})".encode())
        _copy_all(session, f"copy staging.bare ({staging}) from stdin (format binary)", batch)
        staged = time.monotonic()
        written = session.execute(
            f"insert into core.operations as stored ({columns}, sync_run_id, first_seen_at,"
            f" synced_at) select {selected}, 1, now(), now() from staging.bare"
            f" on conflict ({', '.join(operations.key)}) do update set"
            f" {', '.join(f'{name} = excluded.{name}' for name in values)}, synced_at = now()"
            f" where ({', '.join(f'stored.{name}' for name in values)})"
            f" is distinct from ({', '.join(f'excluded.{name}' for name in values)})".encode()
        ).rowcount
        session.execute("drop table staging.bare")
        session.commit()
        return Timing(staged - began, time.monotonic() - staged, written)


@dataclass(frozen=True)
class Queries:
    """How long each query of a reader took, in seconds."""

    seconds: list[float]

    @property
    def slowest_percentile(self) -> float:
        """The 99th percentile, in seconds."""
        return statistics.quantiles(self.seconds, n=100)[98]


@contextmanager
def looping(work: Callable[..., list[float]], *values: object) -> Iterator[Queries]:
    """Run `work` during the context, in a separate process so that the GIL is not shared.

    work: takes the values and an event that ends it; returns seconds.
    """
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(1, context) as pool:
        is_over, queries = manager.Event(), Queries([])
        done = pool.submit(work, *values, is_over)
        try:
            yield queries
        finally:
            is_over.set()
            queries.seconds.extend(done.result())


def run_queries(url: str, statements: Sequence[str], is_over: threading.Event) -> list[float]:
    """Run statements in a loop; returns the seconds of each execution."""
    seconds = []
    with Warehouse(url).connect(autocommit=True, application_name=_READER) as session:
        while not is_over.is_set():
            for statement in statements:
                began = time.monotonic()
                session.execute(statement.encode()).fetchall()
                seconds.append(time.monotonic() - began)
    return seconds


def watch_locks(url: str, is_over: threading.Event) -> list[float]:
    """Sample whether a reader waits for a lock; returns the seconds waited so far, by sample."""
    seconds = []
    since: float | None = None
    with Warehouse(url).connect(autocommit=True, application_name="lcm watcher") as session:
        while not is_over.is_set():
            row = session.execute(_WAITING).fetchone()
            now = time.monotonic()
            since = (since or now) if row and row[0] else None
            seconds.append(now + _SAMPLE_SECONDS - since if since else 0.0)
            time.sleep(_SAMPLE_SECONDS)
    return seconds


def main() -> None:
    """Grow the warehouse unless it is grown already, load in turns, print the medians."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--home", type=Path, default=Path(".bench/grown"))
    options.add_argument("--operations", type=int, default=20_000_000)
    options.add_argument("--clients", type=int, default=400_000)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--runs", type=int, default=3)
    flags = options.parse_args()
    with embedded_postgres(flags.home) as url:
        warehouse = Warehouse(url)
        if not is_grown(warehouse):
            grow(warehouse, Growth(flags.clients, flags.operations), print)
        step = max(1, flags.clients * _ROWS_EACH // flags.rows)
        clients = range(1, flags.clients + 1, step)[: flags.rows // _ROWS_EACH]
        first = next_number(warehouse)
        bare, ours = [], []
        for number in range(first, first + 2 * flags.runs, 2):
            bare.append(load_bare(warehouse, Batch(number, clients)))
            ours.append(load_ours(warehouse, Batch(number + 1, clients)))
            print(f"bare {_text_of(bare[-1])} | ours {_text_of(ours[-1])}", flush=True)
        ratio = statistics.median(o.whole / b.whole for o, b in zip(ours, bare, strict=True))
        print(f"ours is {ratio:.2f} times the bare load, median of {flags.runs}")
        _load_again(warehouse, Batch(first + 2 * flags.runs - 1, clients))


def _load_again(warehouse: Warehouse, batch: Batch) -> None:
    charts = [question.statement for question in questions(str(LAST_DAY))]
    alone = _watched(warehouse, charts, lambda: time.sleep(30))
    _print(alone, "alone", alone.medians)
    dead = _dead_rows(warehouse)
    again = _watched(warehouse, charts, lambda: load_ours(warehouse, batch, is_known=True))
    dead = _dead_rows(warehouse) - dead
    print(f"the same rows again: {_text_of(again.done)}, dead rows {dead:,}")
    _print(again, "during a re-sync", alone.medians)
    following = Batch(batch.number + 1, batch.clients)
    load = _watched(warehouse, charts, lambda: load_ours(warehouse, following))
    print(f"a load during queries of readers: {_text_of(load.done)}")
    _print(load, "during a load", alone.medians)


@dataclass(frozen=True)
class Watched(Generic[ResultT]):
    """The result of some work, and the readers during it. waits: seconds for a lock, by sample.

    charts: the queries of all charts, in rounds. counts: the queries that count a day's rows in
    core. kinds: the number of charts.
    """

    done: ResultT
    charts: Queries
    counts: Queries
    waits: list[float]
    kinds: int

    @property
    def medians(self) -> list[float]:
        """The median seconds of each chart."""
        seconds = self.charts.seconds
        return [statistics.median(seconds[at :: self.kinds]) for at in range(self.kinds)]

    def slower(self, medians: Sequence[float]) -> Queries:
        """By how many seconds each query of a chart was slower than the chart's median."""
        usual = itertools.cycle(medians)
        return Queries([max(0.0, took - next(usual)) for took in self.charts.seconds])


def _watched(
    warehouse: Warehouse, charts: Sequence[str], work: Callable[[], ResultT]
) -> Watched[ResultT]:
    """Do some work while readers run queries, and sample whether they wait for a lock."""
    with (
        looping(run_queries, warehouse.url, charts) as chart_queries,
        looping(run_queries, warehouse.url, [_COUNT]) as counts,
        looping(watch_locks, warehouse.url) as waits,
    ):
        done = work()
    return Watched(done, chart_queries, counts, waits.seconds, len(charts))


def _print(watched: Watched[ResultT], when: str, medians: Sequence[float]) -> None:
    for what, queries in (
        ("charts", watched.charts),
        ("charts, above their medians", watched.slower(medians)),
        ("a day's rows in core", watched.counts),
    ):
        print(
            f"{what}, {when}: {len(queries.seconds):,} queries, 99 % below"
            f" {1000 * queries.slowest_percentile:.0f} ms,"
            f" slowest {1000 * max(queries.seconds):.0f} ms"
        )
    print(
        f"locks, {when}: {len(watched.waits):,} samples, the longest wait of a reader"
        f" {1000 * max(watched.waits):.0f} ms",
        flush=True,
    )


def _text_of(timing: Timing) -> str:
    return (
        f"{timing.whole:.1f} s ({timing.staged:.1f} staging, {timing.published:.1f} publishing),"
        f" {timing.rows:,} rows written"
    )


def _spread(count: int) -> list[date]:
    return [LAST_DAY.replace(day=1 + row % 28) for row in range(count)]


def _record(number: int, client_id: int, row: int, day: date) -> Record:
    moment = datetime(day.year, day.month, day.day, 12, row, tzinfo=UTC)
    values = {
        "operation_date": moment.date(),
        "client_id": client_id,
        "component_type": 2,
        "operation_id": 10_000_000_000 + number * 1_000_000_000 + client_id * 100 + row,
        "processed_at": moment,
        "cheque_id": 10_000_000_000 + number * 1_000_000_000 + client_id * 100 + row,
        "cheque_number": str(row),
        "pos_id": 1 + client_id % 200,
        "partner_name": "Partner",
        "amount": Decimal("123.45"),
        "redeemed": Decimal(0),
        "discount": Decimal(0),
        "is_refund": False,
    }
    return tuple(values.get(name) for name in operations.staging_columns)


def _outcomes(batch: Batch, claimed: Sequence[Task], *, added: int) -> Iterator[list[Outcome]]:
    now = datetime.now(UTC)
    for at in range(0, len(claimed), _BATCH):
        yield [
            Outcome(
                task,
                "done",
                now,
                StagedRows({operations.name: batch.records(task.client_id or 0)}),
                reading="delta",
                source_total=(task.source_total or 0) + added,
                fingerprint=batch.number.to_bytes(8),
            )
            for task in claimed[at : at + _BATCH]
        ]


def _claim(session: psycopg.Connection, run: Run, clients: Sequence[int]) -> list[Task]:
    session.execute(
        "insert into sync.fetches (run_id, client_id)"
        " select %s, client_id from unnest(%s::bigint[]) as client_id on conflict do nothing",
        (run.run_id, list(clients)),
    )
    return tasks.claim_tasks(session, run, after=None, most=len(clients))


def _copy_all(session: psycopg.Connection, statement: str, batch: Batch) -> None:
    with session.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.set_types(list(operations.staging_types))
        for client_id in batch.clients:
            for record in batch.records(client_id):
                copy.write_row(record)


def next_number(warehouse: Warehouse) -> int:
    """The first batch number that no earlier benchmark on this warehouse has used."""
    with warehouse.connect() as session:
        row = session.execute("select max(operation_id) from core.operations").fetchone()
    newest = int(row[0]) if row and row[0] else 0
    return max(1, newest // 1_000_000_000 - 9)


def _dead_rows(warehouse: Warehouse) -> int:
    """Dead rows of the stored operations, according to the server's statistics."""
    with warehouse.connect(autocommit=True) as session:
        session.execute("select pg_stat_force_next_flush()")
        row = session.execute(
            "select sum(n_dead_tup) from pg_stat_user_tables where relname ~ '^operations_'"
        ).fetchone()
    return int(row[0]) if row and row[0] else 0


if __name__ == "__main__":
    main()
