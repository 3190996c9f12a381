"""A programme with data for every chart: months of it, synced day by day, with restatements.

Rows arrive late, change and vanish after they were published, a few do not fit the contract, and
one client cannot be read. The timestamps of the warehouse are set to the programme's clock;
otherwise everything would have been synced at the same moment. Its days end yesterday, because the
dashboards' filters count from today.
"""

import random
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.marts.stamping import STAMPS, stamp
from tests.syncing import sync_everything

_MOSCOW_AHEAD = timedelta(hours=3)
_WRITTEN = {**STAMPS, "core.favourite_offers": ("first_seen_at", "synced_at", "deleted_at")}
# Longer than the default range of the filters: the opening of a random programme grows differently
# from the days after it.
_OPENING = 95
_CHANGES = ("change", "delete_random", "insert_middle")


def fill_with_a_past(
    warehouse: Warehouse, home: Path, *, today: date, days: int = 130, clients: int = 60
) -> None:
    """Sync a programme of `days` days up to yesterday: once far in the past, then at intervals.

    clients: the number registered at the first sync; more register every day after it.
    """
    start = today - timedelta(days=days)
    opening = min(_OPENING, days - 1)
    config = build_config(
        start=start, now=datetime.combine(today - timedelta(days=opening - 1), time(1)),
        clients=clients, seed=5,
        habits=("bad_rows=0.001", "visits_daily=0.08"),
    )  # fmt: skip
    chance = random.Random(5)
    with RunningSimulator(config) as simulator:
        for back in (opening, *(back for back in (14, 4, 3, 2, 1) if back < opening)):
            last = today - timedelta(days=back)
            if back < opening:
                _rewrite_the_past(simulator, chance)
            if back == 1:
                _lose_a_client(simulator, warehouse)
            _sync_next_morning(simulator, warehouse, home, Window(start, last))
    refresh_marts(warehouse, everything=True)


def _sync_next_morning(
    simulator: RunningSimulator, warehouse: Warehouse, home: Path, window: Window
) -> None:
    morning = datetime.combine(window.last, time(6)) + timedelta(days=1)
    simulator.world.advance(morning)
    began = datetime.now(UTC)
    settings = load_settings(
        home=home, api_url=simulator.url, database_url=warehouse.url, delete_fuse=1
    )
    sync_everything(settings, warehouse, window)
    moment = (morning - _MOSCOW_AHEAD).replace(tzinfo=UTC)
    stamp(warehouse, _WRITTEN, began, moment=moment, month=moment.date())


def _rewrite_the_past(simulator: RunningSimulator, chance: random.Random) -> None:
    known = sorted(simulator.world.programme.customers)
    for client in chance.sample(known, 3):
        for kind in ("operations", "leads", "offers"):
            simulator.world.mutate(chance.choice(_CHANGES), client, kind=kind)


def _lose_a_client(simulator: RunningSimulator, warehouse: Warehouse) -> None:
    with warehouse.connect() as session:
        row = session.execute(
            "select max(client_id) from core.operations where cheque_id <> 0"
        ).fetchone()
    assert row is not None
    rule = FaultRule(kind="sql_other", endpoint="OperationHistory", client=row[0])
    simulator.service.faults.set((rule,))
