"""Random conventions: the months of the ledger against what really happened.

Run with `python -m tests.marts.random_points --worlds 20 --seed 1`. Each programme keeps its points
in another way (spending order, refunds, burns, blocked lots) and is read every few days, or with
`--once` only at the end, as by a first load. Every month of mart.points_bridge_monthly is then
compared with what the simulator recorded beside the rows.
"""

import argparse
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg

from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.migrations import migrate
from tests.marts.comparing import read_mart
from tests.marts.golden import Golden
from tests.marts.worlds import sync

START, FIRST, LAST = date(2026, 1, 20), date(2026, 1, 23), date(2026, 3, 10)
_CHOICES = {
    "spending": ("oldest_first", "soonest_first", "newest_first"),
    "refund_points": ("silent", "silent", "negative", "positive"),
    "refund_gives_back": ("false", "true"),
    "partial_refunds": ("0", "0.5"),
    "refunds_without_parent": ("0", "0", "0.2"),
    "burns": ("sometimes", "never", "added", "redeemed"),
    "blocked": ("0", "0.05"),
    "cheque_points": ("0", "0", "0.4"),
    "bonus_redemptions": ("0", "0", "0.5"),
}
_ORDERS = {
    "oldest_first": "oldest_first",
    "soonest_first": "soonest_to_expire",
    "newest_first": "newest_first",
}
_MEASURES = {"added": 1, "redeemed": -1, "expired": -1, "clawed_back": -1}


@dataclass(frozen=True)
class World:
    """A programme: its conventions, and the days from one reading to the next.

    days: 0 if there is only the last reading.
    """

    seed: int
    days: int
    conventions: dict[str, str]

    @property
    def is_told(self) -> bool:
        """Whether the rows tell everything.

        No row says what remains of points that only a cheque states, nor what a silent refund gave
        back to a lot that has ended.
        """
        ways = self.conventions
        is_silent = ways["refund_points"] == "silent" and ways["refund_gives_back"] == "true"
        return ways["cheque_points"] == "0" and not is_silent

    def __str__(self) -> str:
        ways = (f"{name}={way}" for name, way in self.conventions.items())
        readings = f"days={self.days}" if self.days else "once"
        return f"seed={self.seed} {readings} {' '.join(ways)}"


def random_worlds(seed: int) -> Iterator[World]:
    """Worlds without end; equal seeds are equal worlds."""
    chance = random.Random(seed)
    while True:
        conventions = {name: chance.choice(ways) for name, ways in _CHOICES.items()}
        yield World(chance.randrange(10**6), chance.choice((2, 5, 9, 16)), conventions)


def deviations(world: World, warehouse: Warehouse, home: Path) -> dict[tuple[date, str], Decimal]:
    """What is off, by month and measure, as a share of the points given in that month."""
    with warehouse.connect(autocommit=True) as session:
        # Thirty clients are too few to show these.
        order = _ORDERS[world.conventions["spending"]]
        give_back = world.conventions["refund_gives_back"] == "true"
        session.execute(
            "update mart.parameters set spending_order = %s, silent_refunds_give_back = %s",
            (order, give_back),
        )
    config = build_config(
        start=START, now=datetime(2026, 1, 24), clients=30, seed=world.seed,
        habits=("cancelled=0", "merged_daily=0", "late=0", "refunded=0.15",
                *(f"conventions.{name}={way}" for name, way in world.conventions.items())),
    )  # fmt: skip
    with RunningSimulator(config) as simulator:
        last = FIRST if world.days else LAST
        while True:
            simulator.world.advance(datetime(last.year, last.month, last.day) + timedelta(days=1))
            sync(simulator, warehouse, home, START, last)
            if last == LAST:
                break
            last = min(LAST, last + timedelta(days=world.days))
        programme = simulator.world.programme
        truth = Golden(simulator.world.truth(), LAST, programme.flows).points()
    off: dict[tuple[date, str], Decimal] = {}
    balance = Decimal(0)
    for row in sorted(read_mart(warehouse, "points_bridge_monthly"), key=lambda row: row["month"]):
        month = row["month"]
        balance += sum(points for (there, _), points in truth.items() if there == month)
        real = {
            name: sign * truth.get((month, name), Decimal(0)) for name, sign in _MEASURES.items()
        }
        real |= {"corrections": Decimal(0), "residual": Decimal(0), "closing": balance}
        off |= {
            (month, name): (row[name] - points) / row["added"]
            for name, points in real.items()
            if row[name] != points
        }
    return off


def main() -> None:
    """Run in a temporary embedded Postgres; exits with 1 if a month that rows tell is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--once", action="store_true", help="read only at the end")
    options = parser.parse_args()
    told, wrong, hidden = 0, 0, Decimal(0)
    with TemporaryDirectory() as folder, embedded_postgres(Path(folder) / "postgres") as url:
        for number, world in zip(range(options.worlds), random_worlds(options.seed), strict=False):
            with psycopg.connect(url, autocommit=True) as session:
                session.execute(f"create database world_{number}".encode())
            warehouse = Warehouse(urlsplit(url)._replace(path=f"/world_{number}").geturl())
            migrate(warehouse)
            if options.once:
                world = replace(world, days=0)
            off = deviations(world, warehouse, Path(folder) / f"home_{number}")
            share = max(map(abs, off.values()), default=Decimal(0))
            if world.is_told:
                told, wrong = told + 1, wrong + bool(off)
            else:
                hidden = max(hidden, share)
            kind = "told" if world.is_told else "hidden"
            print(f"{kind}, off by {share:.2%}: {world}", flush=True)
            for (month, name), points in off.items():
                print(f"    {month:%Y-%m} {name}: {points:+.2%} of the points given", flush=True)
    print(
        f"{told - wrong} of {told} programmes whose rows tell everything are exact; the others are"
        f" at most {hidden:.2%} off"
    )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
