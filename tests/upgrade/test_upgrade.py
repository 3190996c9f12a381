"""A warehouse that an older version filled is upgraded to this one with all its data.

There is one for each release, named after its newest migration: fifteen clients of a simulated
programme from 2026-01-10 on, synced by that version.

That of 0.1.0 has the days up to 2026-02-02, then only 2026-02-06, with a client that failed in the
leads. It contains rows that later versions put into quarantine: operations of the years 1900 and
2999, a lead and an offer of 1753, each in a separate partition.
"""

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.status import read_overview
from tests.architecture.repository import ROOT
from tests.databases import address_of, cloned_warehouse
from tests.oracle import assert_exact
from tests.stored import snapshot
from tests.syncing import sync_everything
from tests.upgrade.dump import dump, fill

# Each release adds one, written by tests/upgrade/dump.py.
WAREHOUSES = {"0.1.0": "warehouse_0011.sql.gz", "0.2.0": "warehouse_0058.sql.gz"}
FIRST, LAST, NEXT = date(2026, 1, 10), date(2026, 2, 6), date(2026, 2, 7)
DONE = datetime(2026, 2, 8, 12)
OLDEST = pytest.mark.parametrize("restored", ["0.1.0"], indirect=True)
STORED = [mart.name for mart in marts() if mart.kind != "view"]
# The state of the sync, without columns that were dropped since.
_STATE = {
    "sync.runs": "run_id, feed, window_from, window_to, status, started_at, requests, error",
    "sync.client_state": "client_id, source_total, version, read_at, pending_since, proven_date",
    "sync.registration_days": "*",
    "sync.quarantine": "row_digest, table_name, reason, raw, sync_run_id, resolved_at",
    "sync.unknown_fields": "field_name, first_seen_at",
    "sync.window_days": "day, run_id, published_at",
    "outbox.profile_updates": "*",
    "mart.parameters": "timezone, point_value, expected_breakage, sla_hours, rfm_days, lapse_days",
    "mart.rfm_segments": "*",
}


@pytest.fixture(scope="module", params=WAREHOUSES)
def restored(request: pytest.FixtureRequest, postgres: str, template: str) -> Iterator[str]:
    """The name of a release's database. The template creates the roles of its grants."""
    assert template
    dumped = Path(__file__).with_name(WAREHOUSES[request.param])
    with _new_database(postgres, "restored_warehouse") as warehouse:
        with warehouse.connect(autocommit=True) as session:
            session.execute(gzip.decompress(dumped.read_bytes()))
        yield "restored_warehouse"


@pytest.fixture
def released(postgres: str, restored: str) -> Iterator[Warehouse]:
    """The warehouse of a release, for one test."""
    with cloned_warehouse(postgres, restored) as warehouse:
        yield warehouse


@contextmanager
def _new_database(postgres: str, name: str) -> Iterator[Warehouse]:
    """An empty database, which is dropped afterwards."""
    with psycopg.connect(postgres, autocommit=True) as session:
        session.execute(SQL("create database {}").format(Identifier(name)))
    warehouse = Warehouse(address_of(postgres, name))
    try:
        yield warehouse
    finally:
        with psycopg.connect(postgres, autocommit=True) as session:
            session.execute(SQL("drop database {} with (force)").format(Identifier(name)))


def test_a_released_warehouse_is_migrated_with_all_its_data(released: Warehouse) -> None:
    rows, state, days = snapshot(released), _state(released), _programme(released)
    migrate(released)
    assert migrate(released) == []
    assert snapshot(released) == {"history.clients": [], **rows}
    assert _state(released) == state
    # The marts exist and are filled before any refresh.
    assert _programme(released) == days
    assert _first_day(released) == FIRST


@OLDEST
def test_program_daily_of_0_1_0_no_longer_begins_with_its_oldest_row(released: Warehouse) -> None:
    assert _first_day(released) == date(1900, 1, 1)
    assert migrate(released)[0].startswith("0012")
    assert _first_day(released) == FIRST


@pytest.mark.slow
@OLDEST
def test_status_and_marts_of_0_1_0_agree_on_complete_days(released: Warehouse) -> None:
    migrate(released)
    refresh_marts(released)
    status = {feed.feed: feed for feed in read_overview(released)}
    assert {name: feed.complete_through for name, feed in status.items()} == {
        "registrations": LAST,
        "operations": LAST,
        "leads": date(2026, 2, 2),
        "favourites": LAST,
    }
    with released.connect() as session:
        rows = session.execute(
            "select distinct feed, mart.complete_through from mart.data_completeness as mart"
            " join sync.feeds on main_table = table_name"
        ).fetchall()
    assert dict(rows) == {name: feed.complete_through for name, feed in status.items()}


@pytest.mark.slow
def test_a_released_warehouse_syncs_the_next_day_and_refreshes_its_marts(
    released: Warehouse, tmp_path: Path
) -> None:
    migrate(released)
    _check_a_refresh(released)
    config = build_config(start=FIRST, now=DONE, clients=20, seed=5)
    with RunningSimulator(config) as source:
        settings = load_settings(
            home=tmp_path,
            api_url=source.url,
            database_url=released.url,
            delete_fuse=1,
            start_date=FIRST,
        )
        sync_everything(settings, released, Window(NEXT, NEXT))
        # Clients that exist only in the older programme stay pending.
        others = _clients(released) - set(source.world.programme.customers)
        assert len(_clients(released) - others) > 10
        assert_exact(source, released, last=NEXT, without=others)
    _check_a_refresh(released)


def test_each_released_version_has_a_warehouse_to_upgrade() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[(\S+)\] - \d{4}-\d\d-\d\d$", changes, re.M)
    assert set(WAREHOUSES) == set(released)


def test_a_dump_of_this_version_can_be_restored_completely(
    postgres: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    fill(warehouse, tmp_path)
    with _new_database(postgres, "dumped_warehouse") as copy:
        with copy.connect(autocommit=True) as session:
            session.execute(dump(warehouse.url))
        assert migrate(copy) == []
        assert snapshot(copy) == snapshot(warehouse)
        assert len(_clients(copy)) == 15


def _check_a_refresh(warehouse: Warehouse) -> None:
    refresh_marts(warehouse)
    refreshed = {name: _texts(warehouse, f"mart.{name}") for name in STORED}
    refresh_marts(warehouse, everything=True)
    for name in STORED:
        assert _texts(warehouse, f"mart.{name}") == refreshed[name], name


def _state(warehouse: Warehouse) -> dict[str, list[Any]]:
    return {name: _texts(warehouse, name, columns) for name, columns in _STATE.items()}


def _texts(warehouse: Warehouse, name: str, columns: str = "*") -> list[Any]:
    statement = SQL("select line::text from (select {} from {}) as line order by 1").format(
        SQL(columns), Identifier(*name.split("."))
    )
    with warehouse.connect() as session:
        return session.execute(statement).fetchall()


def _programme(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The daily figures of the programme from its first day on."""
    with warehouse.connect() as session, session.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select day, new_members, members, purchases, net_sales, buyers"
            " from mart.program_daily where day >= %s order by day",
            (FIRST,),
        ).fetchall()


def _first_day(warehouse: Warehouse) -> date:
    with warehouse.connect() as session:
        row = session.execute("select min(day) from mart.program_daily").fetchone()
    assert row is not None
    day: date = row[0]
    return day


def _clients(warehouse: Warehouse) -> set[int]:
    with warehouse.connect() as session:
        return {n for (n,) in session.execute("select client_id from core.clients").fetchall()}
