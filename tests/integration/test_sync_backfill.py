"""A range of days is one reading: its requests and its result."""

from datetime import date, datetime, timedelta
from math import ceil

import pytest

from lcm_pipeline.feeds import OPERATIONS, REGISTRATIONS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings, Programme
from tests.oracle import assert_exact
from tests.stored import snapshot
from tests.syncing import sync_everything

OPENING = date(2025, 4, 1)
YEAR = Window(OPENING, OPENING + timedelta(days=364))
NOON_AFTER = datetime(2026, 4, 1, 12)
PAGE_LENGTH = 50


def _requests_of_one_reading(source: RunningSimulator) -> int:
    truth = source.world.truth()
    clients = {row["Client"] for row in truth["registrations"]}
    pages = 0
    for table in ("operations", "leads", "favourite_offers"):
        owners = [row["Client"] for row in truth[table]]
        pages += sum(max(1, ceil(owners.count(client) / PAGE_LENGTH)) for client in clients)
    return len(YEAR) + pages + len(truth["favourite_offers"])


@pytest.mark.slow
def test_a_year_costs_the_requests_of_one_reading(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=30, start=OPENING, now=NOON_AFTER)
    settings = make_settings(source, warehouse, page_length=PAGE_LENGTH)
    reports = sync_everything(settings, warehouse, YEAR)
    assert_exact(source, warehouse, last=YEAR.last)
    requests = sum(report.requests for report in reports.values())
    assert requests == source.service.traffic.counts()["requests"]
    assert requests <= 1.05 * _requests_of_one_reading(source)
    with warehouse.connect() as session:
        assert session.execute("select count(*) from sync.runs").fetchone() == (4,)
        days = session.execute("select feed, count(*) from sync.window_days group by 1")
        assert {count for _, count in days} == {len(YEAR)}


@pytest.mark.slow
def test_overlapping_ranges_give_the_result_of_one_range(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40)
    settings = make_settings(source, warehouse)
    sync_everything(settings, warehouse, Window(date(2026, 3, 1), date(2026, 3, 20)))
    assert_exact(source, warehouse, last=date(2026, 3, 20))
    sync_everything(settings, warehouse, Window(date(2026, 3, 15), date(2026, 3, 30)))
    assert_exact(source, warehouse, last=date(2026, 3, 30))


def test_syncing_days_backwards_keeps_the_newest_statistics(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40)
    settings = make_settings(source, warehouse, start_date=date(2026, 3, 1))
    sync_everything(settings, warehouse, Window(date(2026, 3, 30), date(2026, 3, 30)))
    before = snapshot(warehouse)
    sync_everything(settings, warehouse, Window(date(2026, 3, 10), date(2026, 3, 12)))
    assert snapshot(warehouse) == before
    source.world.advance(days=3)
    sync_everything(settings, warehouse, Window(date(2026, 3, 1), date(2026, 3, 30)))
    with warehouse.connect() as session:
        oldest = session.execute("select min(snapshot_date) from core.favourite_stats").fetchone()
    assert oldest == (date(2026, 3, 30),)
    assert_exact(source, warehouse, last=date(2026, 3, 30))


def test_registration_days_before_the_window_are_polled_first(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40)
    settings = make_settings(source, warehouse, start_date=date(2026, 3, 1), lookback_days=2)
    window = Window(date(2026, 3, 30), date(2026, 3, 30))
    SyncEngine(settings, warehouse).sync(OPERATIONS, window)
    sync_everything(settings, warehouse, window)
    assert_exact(source, warehouse, last=window.last)


def test_gaps_between_polled_days_are_filled(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40)
    settings = make_settings(source, warehouse, lookback_days=0, audit_share=0)
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, Window(date(2026, 3, 1), date(2026, 3, 3)))
    with warehouse.connect() as session:
        session.execute("delete from sync.registration_days where registration_date = '2026-03-02'")
    sync_everything(settings, warehouse, Window(date(2026, 3, 30), date(2026, 3, 30)))
    assert_exact(source, warehouse, last=date(2026, 3, 30))
    with warehouse.connect() as session:
        polled = session.execute("select count(*) from sync.registration_days").fetchone()
    assert polled == (30,)
