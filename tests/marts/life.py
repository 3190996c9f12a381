"""Random life, day by day: incremental refreshes always equal a full computation.

Run with `python -m tests.marts.life --days 60 --seed 1`. Each day rows arrive, change and vanish,
cards merge, stores are renamed, and sometimes a day is synced again or some days are missed. After
each refresh the stored marts are compared with the result of a full refresh.
"""

import argparse
import random
from collections import Counter
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from psycopg.sql import SQL, Identifier

from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.marts.definitions import marts
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from tests.marts.worlds import sync

STORED = [mart.name for mart in marts() if mart.kind != "view"]
_START, _FIRST = date(2026, 1, 10), date(2026, 2, 20)
_CHANGES = ("insert_top", "insert_middle", "delete_random", "change")


def live(warehouse: Warehouse, home: Path, *, days: int, seed: int, compare_every: int = 1) -> int:
    """Simulate `days` days; returns how often all marts were compared. Raises AssertionError."""
    chance = random.Random(seed)
    config = build_config(
        start=_START, now=datetime(2026, 2, 21), clients=40, seed=seed, habits=("cancelled=0.05",)
    )
    compared = 0
    with RunningSimulator(config) as simulator:
        last = _FIRST
        for day in range(days):
            _pass_a_day(simulator, warehouse, home, last, chance)
            if day % compare_every == 0 or day == days - 1:
                assert_as_if_computed_anew(warehouse, f"seed {seed}, {last}")
                compared += 1
            last += timedelta(days=chance.choice((1, 1, 1, 1, 0, 3)))
    return compared


def assert_as_if_computed_anew(warehouse: Warehouse, when: str) -> None:
    """Compare every stored mart with the result of a full refresh."""
    stored = {name: _rows(warehouse, name) for name in STORED}
    refresh_marts(warehouse, everything=True)
    for name in STORED:
        anew = _rows(warehouse, name)
        assert stored[name] == anew, (name, when, stored[name] - anew, anew - stored[name])


def _pass_a_day(
    simulator: RunningSimulator, warehouse: Warehouse, home: Path, last: date, chance: random.Random
) -> None:
    simulator.world.advance(datetime(last.year, last.month, last.day) + timedelta(days=1))
    clients = sorted(simulator.world.programme.customers)
    for client in chance.sample(clients, min(6, len(clients))):
        simulator.world.mutate(chance.choice(_CHANGES), client)
    if chance.random() < 0.15:
        # A client that was merged before cannot be merged again.
        with suppress(ValueError):
            simulator.world.merge(*chance.sample(clients, 2))
    sync(simulator, warehouse, home, _START, last)
    if chance.random() < 0.1:
        with warehouse.connect(autocommit=True) as session:
            session.execute(
                "update core.points_of_sale set name = name || '!', synced_at = now()"
                " where pos_id = (select min(pos_id) from core.points_of_sale)"
            )
        refresh_marts(warehouse)


def _rows(warehouse: Warehouse, name: str) -> Counter[tuple[Any, ...]]:
    with warehouse.connect() as session:
        statement = SQL("select stored::text from {} as stored").format(Identifier("mart", name))
        return Counter(session.execute(statement).fetchall())


def main() -> None:
    """Run in a temporary embedded Postgres."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with (
        TemporaryDirectory() as folder,
        embedded_postgres(Path(folder) / "postgres") as url,
    ):
        warehouse = Warehouse(url)
        migrate(warehouse)
        compared = live(warehouse, Path(folder) / "home", days=options.days, seed=options.seed)
        print(
            f"{options.days} days, all {len(STORED)} stored marts compared {compared} times: equal"
        )


if __name__ == "__main__":
    main()
