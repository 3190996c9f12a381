"""How cost grows with the history: a table of 1x, 10x and 100x, written to docs/growth.md.

Run with `python -m benchmarks.growth`. Each size is a warehouse grown by `benchmarks.grown`. On it:
all marts are computed in full, one quiet day is published, the marts are refreshed after it, and
every chart of the dashboards is asked as its definition says, over the last 90 days.
A warehouse that is there already is used again, with one more quiet day; the figures of each size
are kept beside it, so that one size alone can be measured again and written with the others.
With `--quiet-day` the figure of the full computation is taken from there.
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg

from benchmarks.charts import Question, questions
from benchmarks.grown import LAST_DAY, Growth, grow, is_grown
from benchmarks.loading import Batch, Timing, load_ours, next_number
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.marts.refresh import MartRefresh, refresh_marts
from lcm_pipeline.warehouse.migrations import migrate

_ROOT = Path(__file__).resolve().parents[1]
_SMALLEST = Growth(4_000, 200_000)
_LOOKS = 3
# As many clients at every size: what remains is what a refresh costs by the size alone.
_FEW = 400
_SHOWN = 5
_MARK = "<!-- made by python -m benchmarks.growth -->"


@dataclass(frozen=True)
class Refresh:
    """Seconds of a refresh, and what became of each mart."""

    seconds: float
    marts: list[MartRefresh]

    @property
    def slowest(self) -> list[MartRefresh]:
        """The marts that took longest."""
        return sorted(self.marts, key=lambda mart: -mart.seconds)[:_SHOWN]


@dataclass(frozen=True)
class Cost:
    """What one size costs; seconds, and bytes of the whole database.

    few: a day on which as many rows changed at every size.
    """

    growth: Growth
    size: int
    day_rows: int
    day: float
    refresh: Refresh
    few_rows: int
    few: Refresh
    recompute: Refresh
    looks: dict[str, float]


def measure(warehouse: Warehouse, growth: Growth, recompute: Refresh | None) -> Cost:
    """Grow the warehouse where it is not grown yet, and take all the times.

    recompute: what computing all marts took before; None: it is measured.
    """
    if not is_grown(warehouse):
        grow(warehouse, growth, print)
    migrate(warehouse)
    if recompute is None:
        recompute = _refresh(warehouse, everything=True)
    else:
        refresh_marts(warehouse)
    loaded, refresh = _pass_a_quiet_day(warehouse, growth, growth.clients // 100)
    loaded_few, few = _pass_a_quiet_day(warehouse, growth, _FEW)
    with warehouse.connect(autocommit=True) as session:
        size = session.execute("select pg_database_size(current_database())").fetchone()
        looks = {q.chart: _look(session, q) for q in questions(str(LAST_DAY))}
    return Cost(
        growth, size[0] if size else 0, loaded.rows, loaded.whole, refresh, loaded_few.rows, few,
        recompute, looks,
    )  # fmt: skip


def as_markdown(costs: list[Cost]) -> str:
    """The page: one table of the sizes, one of the slowest charts and marts of the largest."""
    lines = [
        "| operations | clients | database | a quiet day: rows | published in |"
        f" marts refreshed in | after {costs[-1].few_rows:,} rows |"
        " all marts recomputed in | a chart, median | a chart, slowest |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        looks = sorted(cost.looks.values())
        lines.append(
            f"| {cost.growth.operations:,} | {cost.growth.clients:,} | {cost.size / 1e9:.1f} GB |"
            f" {cost.day_rows:,} | {cost.day:.1f} s | {cost.refresh.seconds:.1f} s |"
            f" {cost.few.seconds:.1f} s | {cost.recompute.seconds:.1f} s |"
            f" {1000 * statistics.median(looks):.0f} ms | {1000 * looks[-1]:.0f} ms |"
        )
    largest = costs[-1]
    lines += ["", f"The slowest charts at {largest.growth.operations:,} operations:", ""]
    slowest = sorted(largest.looks.items(), key=lambda look: -look[1])[:_SHOWN]
    lines += [f"- {1000 * seconds:.0f} ms: {chart}" for chart, seconds in slowest]
    for what, refresh in (
        ("The marts that take longest after a quiet day there", largest.refresh),
        ("When all are recomputed", largest.recompute),
    ):
        if refresh.marts:
            lines += ["", f"{what}:", ""]
            lines += [f"- {m.seconds:.1f} s: `mart.{m.name}`" for m in refresh.slowest]
    return "\n".join(lines)


def main() -> None:
    """Measure the sizes, print the table, and write it into the documentation with --write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--home", type=Path, default=Path(".bench/growth"))
    options.add_argument("--sizes", default="1,10,100", help="factors of 200,000 operations")
    options.add_argument("--write", action="store_true", help="write docs/growth.md")
    options.add_argument("--quiet-day", action="store_true", help="measure only the quiet day")
    arguments = options.parse_args()
    for factor in map(int, arguments.sizes.split(",")):
        growth = Growth(_SMALLEST.clients * factor, _SMALLEST.operations * factor)
        kept = arguments.home / f"{growth.operations}.json"
        before = msgspec.json.decode(kept.read_bytes(), type=Cost) if arguments.quiet_day else None
        with embedded_postgres(arguments.home / f"{growth.operations}") as url:
            cost = measure(Warehouse(url), growth, before.recompute if before else None)
        kept.write_bytes(msgspec.json.encode(cost))
        print(as_markdown(_measured(arguments.home)), flush=True)
    if arguments.write:
        _write(as_markdown(_measured(arguments.home)))


def _measured(home: Path) -> list[Cost]:
    """The newest figures of each size, the smallest first."""
    costs = [msgspec.json.decode(path.read_bytes(), type=Cost) for path in home.glob("*.json")]
    return sorted(costs, key=lambda cost: cost.growth.operations)


def _write(table: str) -> None:
    place = _ROOT / "docs" / "growth.md"
    head, _, tail = place.read_text().partition(_MARK)
    rest = tail.partition(_MARK)[2]
    place.write_text(f"{head}{_MARK}\n\n{table}\n\n{_MARK}{rest}")


def _pass_a_quiet_day(warehouse: Warehouse, growth: Growth, buyers: int) -> tuple[Timing, Refresh]:
    """Publish a quiet day a day after the last one: autovacuum had time to remove dead rows."""
    with warehouse.connect(autocommit=True) as session:
        session.execute("vacuum")
    return load_ours(warehouse, _quiet_day(warehouse, growth, buyers)), _refresh(warehouse)


def _quiet_day(warehouse: Warehouse, growth: Growth, buyers: int) -> Batch:
    """A day after all others, on which some clients, spread evenly, buy twice: others each day."""
    number = next_number(warehouse)
    step = growth.clients // buyers
    clients = range(1 + number % step, growth.clients + 1, step)
    return Batch(number, clients, rows_each=2, day=LAST_DAY + timedelta(days=number))


def _look(session: psycopg.Connection, question: Question) -> float:
    times = []
    for _ in range(_LOOKS):
        began = time.monotonic()
        session.execute(question.statement.encode()).fetchall()
        times.append(time.monotonic() - began)
    return statistics.median(times)


def _refresh(warehouse: Warehouse, *, everything: bool = False) -> Refresh:
    began = time.monotonic()
    marts = refresh_marts(warehouse, everything=everything)
    return Refresh(time.monotonic() - began, marts)


if __name__ == "__main__":
    main()
