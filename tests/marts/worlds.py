"""Programmes for the tests of the marts: a random one, and one that a test fills by hand.

They run in the simulator and are synced over HTTP into a warehouse of their own, so that a golden
answer can be computed from the data of the simulator.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.marts.golden import Golden
from tests.syncing import sync_everything

QUIET = tuple(
    f"{habit}=0"
    for habit in (
        "visits_daily", "promotions_daily", "leads_daily", "offers_daily", "merged_daily",
        "card_changes_daily",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Synced:
    """A programme, the warehouse that it was synced into, and the last day synced."""

    simulator: RunningSimulator
    warehouse: Warehouse
    first: date
    last: date

    @property
    def truth(self) -> dict[str, list[dict[str, Any]]]:
        """All data of the programme."""
        return self.simulator.world.truth()

    @property
    def golden(self) -> Golden:
        """The expected contents of the marts."""
        return Golden(self.truth, self.last, self.simulator.world.programme.flows)


@contextmanager
def random_world(warehouse: Warehouse, home: Path) -> Iterator[Synced]:
    """Three months of a programme in which no cheque is cancelled without a trace."""
    config = build_config(
        start=date(2026, 1, 10), now=datetime(2026, 3, 31), clients=220, seed=11,
        habits=("cancelled=0", "merged_daily=0", "nulls=0.06", "late=0"),
    )  # fmt: skip
    with RunningSimulator(config) as simulator:
        first, last = config.start, date(2026, 3, 30)
        sync(simulator, warehouse, home, first, last)
        yield Synced(simulator, warehouse, first, last)


@contextmanager
def empty_world(start: date, now: datetime) -> Iterator[RunningSimulator]:
    """A programme without clients, in which nothing happens by itself."""
    config = build_config(start=start, now=now, clients=0, habits=QUIET)
    with RunningSimulator(config) as simulator:
        yield simulator


def sync(
    simulator: RunningSimulator, warehouse: Warehouse, home: Path, first: date, last: date
) -> None:
    """Sync all feeds, check that all of them are complete, and refresh the marts."""
    sync_facts(simulator, warehouse, home, first, last)
    refresh_marts(warehouse)


def sync_facts(
    simulator: RunningSimulator, warehouse: Warehouse, home: Path, first: date, last: date
) -> None:
    """Sync all feeds, and check that all of them are complete; the marts stay as they are."""
    settings = load_settings(
        home=home, api_url=simulator.url, database_url=warehouse.url, delete_fuse=1
    )
    reports = sync_everything(settings, warehouse, Window(first, last))
    assert all(report.is_complete for report in reports.values())


def edit(warehouse: Warehouse, *statements: str) -> None:
    """Execute statements, as for mart.parameters, and refresh the marts."""
    with warehouse.connect(autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())
    refresh_marts(warehouse)
