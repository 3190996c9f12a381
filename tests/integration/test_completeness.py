"""When a day is complete: status, checks, marts and the report agree on every day."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from psycopg.rows import dict_row

from lcm_pipeline.feeds import FEEDS as FEED_REGISTRY
from lcm_pipeline.feeds import LEADS, REGISTRATIONS, feed_named
from lcm_pipeline.model.windows import Window
from lcm_pipeline.reporting.figures import read_figures
from lcm_pipeline.reporting.pages import incomplete_tables
from lcm_pipeline.reporting.reports import make_report
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.verify.reconcile import WindowCompleteness
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from tests.conftest import MakeSettings, Programme
from tests.reconciling import completeness
from tests.syncing import FEEDS, overview_of, registered_by, sync_everything

OPENING = date(2026, 3, 1)
CLIENT_FEEDS = FEEDS[1:]
TABLES = {feed.main_table.name: feed.name for feed in FEED_REGISTRY if feed.has_marts}


@pytest.fixture
def opened(programme: Programme) -> RunningSimulator:
    """A programme of eleven days; clients register on most of them."""
    return programme(clients=25, start=OPENING, now=datetime(2026, 3, 12, 12), seed=3)


@pytest.fixture
def settings(
    opened: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> Iterator[Settings]:
    yield make_settings(opened, warehouse, start_date=OPENING, page_length=12, lookback_days=0)


@pytest.mark.slow
def test_missed_days_are_complete_once_a_later_day_is_synced(
    warehouse: Warehouse, settings: Settings
) -> None:
    """Days 1 to 3, then day 10, which reads whole histories and polls the days in between."""
    sync_everything(settings, warehouse, Window(OPENING, _march(3)))
    _check_all_agree(warehouse, dict.fromkeys(FEEDS, _march(3)))
    sync_everything(settings, warehouse, _window(10))
    _check_all_agree(warehouse, dict.fromkeys(FEEDS, _march(10)))
    for feed in CLIENT_FEEDS:
        for day in range(1, 11):
            counts = completeness(warehouse, feed_named(feed), _window(day))
            assert counts[1:] == (0, 0)
            assert counts.clients == registered_by(warehouse, _march(day))
    six_days = Window(_march(4), _march(9))
    assert completeness(warehouse, REGISTRATIONS, six_days) == (6, 0, 0)
    report = make_report(warehouse, _march(7))
    assert report.incomplete == ()


@pytest.mark.slow
def test_a_client_that_fails_on_the_late_day_leaves_the_missed_days_incomplete(
    opened: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    sync_everything(settings, warehouse, Window(OPENING, _march(3)))
    client = min(opened.world.programme.customers)
    opened.service.faults.set(
        [FaultRule(kind="sql_other", endpoint="LeadsPagingInfo", client=client)]
    )
    sync_everything(settings, warehouse, _window(10))
    expected = dict.fromkeys(FEEDS, _march(10)) | {"leads": _march(3)}
    _check_all_agree(warehouse, expected)
    assert completeness(warehouse, LEADS, _window(7)).pending == 1
    assert make_report(warehouse, _march(7)).incomplete == ("leads",)
    opened.service.faults.set([])
    SyncEngine(settings, warehouse).sync(LEADS, _window(11))
    expected = dict.fromkeys(FEEDS, _march(10)) | {
        "leads": _march(11),
        "registrations": _march(11),
    }
    _check_all_agree(warehouse, expected)


@pytest.mark.slow
def test_an_unproven_registration_day_keeps_later_days_incomplete(
    warehouse: Warehouse, settings: Settings
) -> None:
    """The clients that registered on it are unknown, and so is what they did since."""
    sync_everything(settings, warehouse, Window(OPENING, _march(6)))
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "update sync.registration_days set read_at = null, pending_since = now()"
            " where registration_date = %s",
            (_march(4),),
        )
    _check_all_agree(warehouse, dict.fromkeys(FEEDS, _march(3)))
    # The roster itself waits only for that day.
    assert completeness(warehouse, REGISTRATIONS, _window(4)) == (1, 1, 0)
    assert completeness(warehouse, REGISTRATIONS, _window(5)) == (1, 0, 0)
    for feed in CLIENT_FEEDS:
        known = registered_by(warehouse, _march(5))
        assert completeness(warehouse, feed_named(feed), _window(5)) == (known + 1, 1, 0)
    report = make_report(warehouse, _march(6), "en")
    assert report.incomplete == ("operations", "leads", "favourite_offers")
    assert "Registration days that could not be read" in report.html
    sync_everything(settings, warehouse, _window(7))
    _check_all_agree(warehouse, dict.fromkeys(FEEDS, _march(7)))


@pytest.mark.slow
def test_a_failed_second_poll_delays_only_its_own_day(
    warehouse: Warehouse, settings: Settings
) -> None:
    sync_everything(settings, warehouse, Window(OPENING, _march(6)))
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "update sync.registration_days set pending_since = now() where registration_date = %s",
            (_march(4),),
        )
    expected = dict.fromkeys(FEEDS, _march(6)) | {"registrations": _march(3)}
    _check_all_agree(warehouse, expected)


def test_days_wait_for_clients_that_registered_after_the_readings(
    warehouse: Warehouse, settings: Settings
) -> None:
    """A sync of registrations adds clients whose other feeds have not been read."""
    sync_everything(settings, warehouse, Window(OPENING, _march(3)))
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, _window(10))
    expected = dict.fromkeys(FEEDS, _march(3)) | {"registrations": _march(10)}
    _check_all_agree(warehouse, expected)


def test_a_feed_that_was_never_synced_is_complete_through_no_day(
    warehouse: Warehouse, settings: Settings
) -> None:
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, Window(OPENING, _march(3)))
    _check_all_agree(warehouse, {**dict.fromkeys(FEEDS, None), "registrations": _march(3)})
    assert completeness(warehouse, LEADS, _window(3)) == WindowCompleteness(0, 0, 0)


@pytest.mark.slow
def test_days_are_reported_from_the_start_of_the_roster(
    warehouse: Warehouse, settings: Settings
) -> None:
    """Only day 10 is synced; because of LCM_START_DATE the roster is polled from the opening."""
    sync_everything(settings, warehouse, _window(10))
    _check_all_agree(warehouse, dict.fromkeys(FEEDS, _march(10)))
    with warehouse.connect() as session:
        days = session.execute(
            "select feed, min(day), count(*) from sync.day_completeness group by feed"
        ).fetchall()
    assert sorted(days) == sorted((feed, OPENING, 10) for feed in FEEDS)


def test_the_feeds_of_the_warehouse_are_those_of_the_code(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as session:
        stored = session.execute(
            "select feed, main_table, is_by_day from sync.feeds order by position"
        ).fetchall()
        session.execute("update sync.feeds set position = 9 where feed = 'leads'")
    assert stored == [(feed.name, feed.main_table.name, feed.is_by_day) for feed in FEED_REGISTRY]
    assert migrate(warehouse) == []
    with warehouse.connect() as session:
        rows = session.execute("select feed from sync.feeds order by position").fetchall()
    assert [feed for (feed,) in rows] == list(FEEDS)


def _march(day: int) -> date:
    return date(2026, 3, day)


def _window(day: int) -> Window:
    return Window(_march(day), _march(day))


def _check_all_agree(
    warehouse: Warehouse, through: dict[str, date | None] | dict[str, date]
) -> None:
    """Status, the mart, the asset checks and the report agree on each day of each feed."""
    refresh_marts(warehouse)
    overview = overview_of(warehouse)
    assert {feed: overview[feed].complete_through for feed in FEEDS} == through
    with warehouse.connect() as session, session.cursor(row_factory=dict_row) as cursor:
        days = cursor.execute("select * from mart.data_completeness order by day").fetchall()
    for row in days:
        feed, day = TABLES[row["table_name"]], row["day"]
        assert row["complete_through"] == through[feed], (feed, day)
        counts = completeness(warehouse, feed_named(feed), Window(day, day))
        assert counts[1:] == (row["pending_clients"], row["deferred_clients"])
        assert row["clients"] == registered_by(warehouse, day)
        if feed != "registrations":
            assert counts.clients == row["clients"] + row["unread_registration_days"]
        assert (
            row["is_complete"]
            == (counts.pending + counts.deferred == 0)
            == (row["complete_share"] == 1)
        )
        last = through[feed]
        if last is None or day == last + timedelta(days=1):
            assert not row["is_complete"]
        elif day <= last:
            assert row["is_complete"]
    for day in sorted({row["day"] for row in days}):
        is_complete = {row["table_name"]: row["is_complete"] for row in days if row["day"] == day}
        incomplete = incomplete_tables(read_figures(warehouse, day, "ru"), [day])
        assert set(incomplete) == {t for t in TABLES if not is_complete.get(t, False)}, day
    newest = {row["table_name"]: row for row in days}
    for table, feed in TABLES.items():
        if table in newest and feed != "registrations":
            pending = newest[table]["pending_clients"]
            assert (overview[feed].pending, overview[feed].deferred) == (
                pending,
                newest[table]["deferred_clients"],
            )
