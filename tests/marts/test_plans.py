"""No statement of a refresh compares rows with each other, or each day with each reading.

The planner often expects a single row of a common table expression, and then joins two of them in a
nested loop: instant in a small world, hours in a large one, or after years of daily syncs.
"""

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.databases import nodes_of
from tests.syncing import sync_everything

_START, _NOW = date(2026, 1, 10), datetime(2026, 2, 21)
_A_YEAR_BEFORE = date(2025, 1, 10)
_EXPLAINED = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "client_min_messages": "log",
}
_TABLES = (
    "core.registrations", "core.clients", "core.operations", "core.leads", "core.favourite_offers",
    "core.favourite_goods", "history.operations", "history.leads", "sync.runs",
    "mart.points_liability_daily",
)  # fmt: skip
# As if each day had been synced on the next morning.
_SYNC_EACH_DAY = """
with moved as (
    update sync.runs set window_to = window_from returning *
)
insert into sync.runs (feed, window_from, window_to, status, started_at, finished_at, clients)
select
    moved.feed,
    days.at::date,
    days.at::date,
    'published',
    days.at + interval '30 hours',
    days.at + interval '31 hours',
    moved.clients
from moved
cross join
    generate_series(
        moved.window_from + interval '1 day', %(last)s::timestamp, interval '1 day'
    ) as days (at)
"""


@dataclass(frozen=True)
class ExplainedWarehouse(Warehouse):
    """A warehouse whose sessions record the plans of their statements, with what they did."""

    plans: list[dict[str, Any]] = field(default_factory=list)

    def connect(self, *, autocommit: bool = False, application_name: str = "lcm") -> Session:
        session = super().connect(autocommit=True, application_name=application_name)
        session.add_notice_handler(self._record)
        session.execute("load 'auto_explain'")
        for name, value in _EXPLAINED.items():
            session.execute("select set_config(%s, %s, false)", (name, value))
        session.autocommit = autocommit
        return session

    def _record(self, notice: psycopg.errors.Diagnostic) -> None:
        _, is_plan, plan = (notice.message_primary or "").partition("plan:\n")
        if is_plan:
            self.plans.append(json.loads(plan))

    @property
    def most_rows(self) -> tuple[float, str]:
        """The most rows that a node of a plan looked at, and what it is."""
        return max(
            (rows_of(node), f"{node['Node Type']} of: {plan['Query Text']}")
            for plan in self.plans
            for node in nodes_of(plan["Plan"])
        )


def rows_of(node: dict[str, Any]) -> float:
    """The rows that a node returned or removed, over all loops."""
    counts = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    return float(node["Actual Loops"] * sum(node.get(name, 0) for name in counts))


def count_rows(warehouse: Warehouse) -> int:
    with warehouse.connect() as session:
        counts = [
            session.execute(f"select count(*) from {table}".encode()).fetchone()
            for table in _TABLES
        ]
    return sum(count[0] for count in counts if count)


def require_work_in_proportion(warehouse: Warehouse, *, everything: bool) -> None:
    """Refresh, and compare the work of each node of each plan with the rows that there are."""
    explained = ExplainedWarehouse(warehouse.url)
    assert len(refresh_marts(explained, everything=everything)) > 40
    looked_at, node = explained.most_rows
    assert looked_at < 3 * count_rows(warehouse), f"{looked_at:,.0f} rows in {node}"


def test_the_work_of_a_refresh_is_in_proportion_to_the_rows(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Many leads that change on each of a few days."""
    habits = ("leads_daily=0.3", "visits_daily=0.1")
    config = build_config(start=_START, now=_NOW, clients=150, seed=5, habits=habits)
    with RunningSimulator(config) as simulator:
        settings = load_settings(home=tmp_path, api_url=simulator.url, database_url=warehouse.url)
        for day in range(4):
            refresh_marts(warehouse)
            now = _NOW + timedelta(days=day)
            simulator.world.advance(now)
            sync_everything(settings, warehouse, Window(_START, now.date() - timedelta(days=1)))
    require_work_in_proportion(warehouse, everything=False)
    require_work_in_proportion(warehouse, everything=True)


@pytest.mark.slow
def test_the_work_of_a_refresh_is_in_proportion_to_the_days(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    config = build_config(
        start=_A_YEAR_BEFORE, now=_NOW, clients=30, seed=5, habits=("offers_daily=0",)
    )
    last = _NOW.date() - timedelta(days=1)
    with RunningSimulator(config) as simulator:
        settings = load_settings(home=tmp_path, api_url=simulator.url, database_url=warehouse.url)
        sync_everything(settings, warehouse, Window(_A_YEAR_BEFORE, last))
    with warehouse.connect() as session:
        assert session.execute(_SYNC_EACH_DAY.encode(), {"last": last}).rowcount == 4 * 406
    require_work_in_proportion(warehouse, everything=True)
