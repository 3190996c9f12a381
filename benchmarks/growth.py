"""How cost grows with the history: a table of 1x, 10x and 100x, written to docs/growth.md.

Run with `python -m benchmarks.growth`. Each size is a warehouse grown by `benchmarks.grown`. On it:
one quiet day is published, the marts are refreshed after it, all of them are computed anew, and
every chart of the dashboards is asked as its definition says, over the last 90 days.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import yaml

from benchmarks.grown import LAST_DAY, Growth, grow, is_grown
from benchmarks.loading import Batch, load_ours, next_number
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded import embedded_postgres
from lcm_pipeline.warehouse.mart_refreshing import Refreshed, refresh_marts
from lcm_pipeline.warehouse.migrations import migrate

_ROOT = Path(__file__).resolve().parents[1]
_DEFINITION = _ROOT / "dashboards" / "definition"
_SMALLEST = Growth(4_000, 200_000)
_DAYS = 90
_LOOKS = 3
_MARK = "<!-- made by python -m benchmarks.growth -->"


@dataclass(frozen=True)
class Question:
    """What one chart asks of its mart."""

    chart: str
    statement: str


@dataclass(frozen=True)
class Cost:
    """What one size costs; seconds, and bytes of the whole database."""

    growth: Growth
    size: int
    day_rows: int
    day: float
    refresh: float
    recompute: float
    slowest_marts: tuple[Refreshed, ...]
    looks: dict[str, float]


def questions(last_day: str) -> Iterator[Question]:
    """The statement of each chart of the definition, over the days up to the last."""
    marts = yaml.safe_load((_DEFINITION / "marts.yaml").read_text())
    for path in sorted(_DEFINITION.glob("*.yaml")):
        page = yaml.safe_load(path.read_text())
        rows = page if isinstance(page, list) else page.get("rows", [])
        for chart in (chart for row in rows for chart in row["charts"]):
            yield Question(chart["title"], _statement(chart, marts, last_day))


def measure(warehouse: Warehouse, growth: Growth) -> Cost:
    """Grow the warehouse where it is not grown yet, and take all the times."""
    if not is_grown(warehouse):
        grow(warehouse, growth, print)
    migrate(warehouse)
    refresh_marts(warehouse)
    day = _quiet_day(warehouse, growth)
    loaded = load_ours(warehouse, day)
    refresh = _seconds_of(lambda: refresh_marts(warehouse))
    began = time.monotonic()
    marts = refresh_marts(warehouse, everything=True)
    recompute = time.monotonic() - began
    slowest = sorted(marts, key=lambda mart: -mart.seconds)[:5]
    with warehouse.connect(autocommit=True) as session:
        size = session.execute("select pg_database_size(current_database())").fetchone()
        looks = {q.chart: _look(session, q) for q in questions(str(LAST_DAY))}
    return Cost(
        growth, size[0] if size else 0, loaded.rows, loaded.whole, refresh, recompute,
        tuple(slowest), looks,
    )  # fmt: skip


def as_markdown(costs: list[Cost]) -> str:
    """The page: one table of the sizes, one of the slowest charts and marts of the largest."""
    lines = [
        "| operations | clients | database | a quiet day: rows | published in |"
        " marts refreshed in | all marts anew in | a chart, median | a chart, slowest |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        looks = sorted(cost.looks.values())
        lines.append(
            f"| {cost.growth.operations:,} | {cost.growth.clients:,} | {cost.size / 1e9:.1f} GB |"
            f" {cost.day_rows:,} | {cost.day:.1f} s | {cost.refresh:.1f} s |"
            f" {cost.recompute:.1f} s | {1000 * statistics.median(looks):.0f} ms |"
            f" {1000 * looks[-1]:.0f} ms |"
        )
    largest = costs[-1]
    lines += ["", f"The slowest charts at {largest.growth.operations:,} operations:", ""]
    slowest = sorted(largest.looks.items(), key=lambda look: -look[1])[:5]
    lines += [f"- {1000 * seconds:.0f} ms: {chart}" for chart, seconds in slowest]
    lines += ["", "The marts that take longest to compute anew there:", ""]
    lines += [
        f"- {m.seconds:.1f} s: `mart.{m.name}`, {m.rows:,} rows" for m in largest.slowest_marts
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure the sizes, print the table, and write it into the documentation when asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--home", type=Path, default=Path(".bench/growth"))
    options.add_argument("--sizes", default="1,10,100", help="factors of 200,000 operations")
    options.add_argument("--write", action="store_true", help="write docs/growth.md")
    asked = options.parse_args()
    costs = []
    for factor in map(int, asked.sizes.split(",")):
        growth = Growth(_SMALLEST.clients * factor, _SMALLEST.operations * factor)
        with embedded_postgres(asked.home / f"{growth.operations}") as url:
            costs.append(measure(Warehouse(url), growth))
        print(as_markdown(costs), flush=True)
    if asked.write:
        _write(as_markdown(costs))


def _write(table: str) -> None:
    place = _ROOT / "docs" / "growth.md"
    head, _, tail = place.read_text().partition(_MARK)
    rest = tail.partition(_MARK)[2]
    place.write_text(f"{head}{_MARK}\n\n{table}\n\n{_MARK}{rest}")


def _quiet_day(warehouse: Warehouse, growth: Growth) -> Batch:
    """A day after all others, on which one client in a hundred buys twice."""
    number = next_number(warehouse)
    day = LAST_DAY + timedelta(days=number)
    return Batch(number, range(1, growth.clients, 100), rows_each=2, day=day)


def _statement(chart: dict[str, Any], marts: dict[str, Any], last_day: str) -> str:
    mart = marts["marts"][chart["mart"]]
    calculated = marts["calculated"]
    given = [chart["x"]] if "x" in chart else []
    names = [*given, *chart.get("by", [])]
    columns = [calculated[name][-1] if name in calculated else name for name in names]
    known = mart.get("metrics", {})
    measures = [known[name][-1] if name in known else f"max({name})"
                for name in chart.get("metrics", [])]  # fmt: skip
    where = f" where {mart['time']} > date '{last_day}' - {_DAYS}" if "time" in mart else ""
    places = ", ".join(str(place + 1) for place in range(len(columns)))
    group = f" group by {places}" if columns and measures else ""
    selected = ", ".join([*columns, *measures]) or "*"
    limit = f" limit {chart['limit']}" if "limit" in chart else ""
    return f"select {selected} from mart.{chart['mart']}{where}{group}{limit}"


def _look(session: psycopg.Connection, question: Question) -> float:
    times = []
    for _ in range(_LOOKS):
        began = time.monotonic()
        session.execute(question.statement.encode()).fetchall()
        times.append(time.monotonic() - began)
    return statistics.median(times)


def _seconds_of(work: Any) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
