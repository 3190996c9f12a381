"""What the adaptive schedule saves and what it costs, by simulation over a year.

`python -m benchmarks.staleness` makes an embedded Postgres in a temporary folder, simulates the
same year for each promise (`LCM_MAX_STALENESS_DAYS`) and prints the results. With --write it writes
the tables between the markers of docs/adaptive_schedule.md. Exit code 1 if a promise was broken.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psycopg

from benchmarks.staleness_population import Population, invent_population
from benchmarks.staleness_year import Year, simulate_year
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.ingest.schedule import Schedule
from lcm_pipeline.warehouse.migrations import migrate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "adaptive_schedule.md"
BEGIN, END = "<!-- {0}: generated -->", "<!-- {0}: end -->"
PROMISES = (0, 2, 3, 7, 14)
OTHER_QUIET_DAYS = (2, 4, 14)
_AUDIT_SHARE = 1 / 7


@dataclass(frozen=True)
class Measured:
    """One year under one schedule. Delays in days; load: clients read in a run over the mean."""

    schedule: Schedule
    per_client_day: float
    last_quarter: float
    median: float
    p95: float
    p99: float
    worst: float
    load: float
    lag: int
    oldest_unseen: float
    seconds: float

    @property
    def is_kept(self) -> bool:
        """Whether each change that a run could see was read within the promised days."""
        promise = max(1, self.schedule.max_staleness)
        return max(self.worst, self.oldest_unseen) <= promise and self.lag <= promise - 1


def measure(postgres: str, population: Population, schedule: Schedule) -> Measured:
    """Simulate the year in a new database."""
    started = time.monotonic()
    name = f"staleness_{schedule.max_staleness}_{schedule.quiet_days}"
    with psycopg.connect(postgres, autocommit=True) as session:
        session.execute(f"create database {name}".encode())
    warehouse = Warehouse(urlsplit(postgres)._replace(path=f"/{name}").geturl())
    migrate(warehouse)
    year = simulate_year(warehouse, population, schedule)
    with psycopg.connect(postgres, autocommit=True) as session:
        session.execute(f"drop database {name}".encode())
    return _summed(schedule, year, time.monotonic() - started)


def _summed(schedule: Schedule, year: Year, seconds: float) -> Measured:
    read = np.sum([year.read[name] for name in year.read], axis=0)
    roster = np.sum([year.roster[name] for name in year.roster], axis=0)
    delays = np.concatenate(list(year.delays.values()))
    late = slice(-91, None)
    return Measured(
        schedule,
        per_client_day=float(read.sum() / roster.sum()),
        last_quarter=float(read[late].sum() / roster[late].sum()),
        median=float(np.median(delays)),
        p95=float(np.percentile(delays, 95)),
        p99=float(np.percentile(delays, 99)),
        worst=float(delays.max()),
        load=float((read[late] / roster[late]).max() / (read[late] / roster[late]).mean()),
        lag=max(year.lags),
        oldest_unseen=year.oldest_unseen,
        seconds=seconds,
    )


def promises_table(measured: Sequence[Measured]) -> str:
    """One line per promise."""
    lines = [
        "| `LCM_MAX_STALENESS_DAYS` | requests per client-day | saved | saved, last quarter"
        " | delay: median | 95 % | 99 % | worst | busiest run | days behind |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in measured:
        name = str(one.schedule.max_staleness) if one.schedule.max_staleness else "off"
        lines.append(
            f"| {name} | {one.per_client_day:.3f} | {1 - one.per_client_day:.1%}"
            f" | {1 - one.last_quarter:.1%} | {one.median:.2f} d | {one.p95:.2f} d"
            f" | {one.p99:.2f} d | {one.worst:.2f} d | {one.load:.2f} × mean | {one.lag} |"
        )
    return "\n".join(lines)


def quiet_table(measured: Sequence[Measured]) -> str:
    """One line per length of quiet."""
    lines = [
        "| quiet days for each day of waiting | requests per client-day | saved | delay: median"
        " | 95 % | 99 % | worst |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.schedule.quiet_days} | {one.per_client_day:.3f} | {1 - one.per_client_day:.1%}"
        f" | {one.median:.2f} d | {one.p95:.2f} d | {one.p99:.2f} d | {one.worst:.2f} d |"
        for one in sorted(measured, key=lambda one: one.schedule.quiet_days)
    ]
    return "\n".join(lines)


def write_between_markers(page: Path, name: str, text: str) -> None:
    """Replace the text between the markers of a page."""
    begin, end = BEGIN.format(name), END.format(name)
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def main() -> int:
    """Parse the flags, measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.staleness", description=__doc__)
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="into docs/adaptive_schedule.md")
    parser.add_argument("--quick", action="store_true", help="without other lengths of quiet")
    flags = parser.parse_args()
    if flags.clients < 100:
        parser.error("--clients: a hundred or more")
    population = invent_population(flags.clients, flags.seed)
    schedules = [Schedule(_AUDIT_SHARE, promise) for promise in PROMISES]
    others = [] if flags.quick else [Schedule(_AUDIT_SHARE, 7, days) for days in OTHER_QUIET_DAYS]
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as postgres:
        measured = [_printed(measure(postgres, population, one)) for one in schedules]
        measured_others = [_printed(measure(postgres, population, one)) for one in others]
    changes = sum(len(found.moment) for found in population.changes.values())
    tables = {"promises": f"{flags.clients:,} clients, {changes:,} changes, seed {flags.seed}.\n\n"
              + promises_table(measured)}  # fmt: skip
    if others:
        usual = [one for one in measured if one.schedule.max_staleness == 7]
        tables["quiet days"] = quiet_table([*usual, *measured_others])
    for name, text in tables.items():
        print(f"\n{text}")
        if flags.write:
            write_between_markers(PAGE, name, text)
    broken = [one for one in (*measured, *measured_others) if not one.is_kept]
    for one in broken:
        print(f"broken promise: {one}", file=sys.stderr)
    return 1 if broken else 0


def _printed(measured: Measured) -> Measured:
    schedule = measured.schedule
    print(
        f"promise {schedule.max_staleness or 'off'}, a day for each {schedule.quiet_days} of quiet:"
        f" {measured.per_client_day:.3f} requests per client-day, worst delay"
        f" {measured.worst:.2f} d ({measured.seconds:.0f} s)",
        flush=True,
    )
    return measured


if __name__ == "__main__":
    sys.exit(main())
