"""A month of daily syncs: rows arrive late, change, vanish and move, and the warehouse follows."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from lcm_pipeline.feeds import REGISTRATIONS, feed_named
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings, Programme
from tests.documented import TABLES, Table
from tests.oracle import assert_exact
from tests.reconciling import totals_differing
from tests.stored import snapshot, stored_rows
from tests.syncing import FEEDS, sync_everything

OPENING = date(2026, 2, 20)
FIRST = date(2026, 3, 1)
EVENTFUL = (
    "late=0.1",
    "late_registrations=0.05",
    "cancelled=0.05",
    "refunded=0.1",
    "merged_daily=0.02",
    "card_changes_daily=0.05",
    "visits_daily=0.2",
    "leads_daily=0.1",
    "offers_daily=0.1",
    "heavy_operations=60",
)
DATED = {table.name: table for table in TABLES if table.day}
VERSIONED = [DATED[name] for name in ("operations", "leads", "favourite_offers")]
Versions = dict[str, dict[tuple[Any, ...], list[dict[str, Any]]]]


@pytest.fixture
def opened(programme: Programme) -> RunningSimulator:
    """An eventful programme that was opened ten days before the first sync."""
    now = datetime.combine(FIRST, time(0, 0, 1))
    return programme(clients=30, start=OPENING, now=now, habits=EVENTFUL, seed=10)


def _days(source: RunningSimulator, count: int) -> Iterator[Window]:
    """Yield one window per day, with the clock of the source at noon of the next day."""
    for number in range(count):
        day = FIRST + timedelta(days=number)
        source.world.advance(datetime.combine(day, time(12)) + timedelta(days=1))
        yield Window(day, day)


def _set_faults(source: RunningSimulator, *rules: FaultRule) -> None:
    source.service.faults.set(rules)


@pytest.mark.slow
def test_after_thirty_days_the_warehouse_equals_the_source(
    opened: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    fields = {"page_length": 12, "start_date": OPENING}
    settings = make_settings(opened, warehouse, **fields)
    for window in _days(opened, 30):
        reports = sync_everything(settings, warehouse, window)
        assert all(report.is_complete for report in reports.values())
    for number in range(1, 7):
        # The clock is stopped, so only clients that the audit has not read yet can be stale.
        day = window.last + timedelta(days=number)
        later = Window(day, day)
        sync_everything(settings, warehouse, later)
    assert_exact(opened, warehouse, last=later.last)
    for feed in FEEDS:
        assert totals_differing(warehouse, feed_named(feed)).listed == []
    _check_statistics_are_kept_only_when_they_changed(warehouse)


@pytest.mark.slow
def test_history_has_each_version_and_deleted_at_marks_vanished_rows(
    opened: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(
        opened, warehouse, audit_share=1, page_length=12, start_date=OPENING, lookback_days=60
    )
    seen: Versions = {table.name: defaultdict(list) for table in VERSIONED}
    for window in _days(opened, 12):
        sync_everything(settings, warehouse, window)
        assert_exact(opened, warehouse, last=window.last)
        _record_versions(warehouse, seen)
    deleted = 0
    for table in VERSIONED:
        live = stored_rows(warehouse, table)
        earlier = {
            key: versions[:-1] if key in live else versions
            for key, versions in seen[table.name].items()
        }
        assert _history(warehouse, table) == {k: v for k, v in earlier.items() if v}
        assert _deleted(warehouse, table) == seen[table.name].keys() - live.keys()
        deleted += len(_deleted(warehouse, table))
    assert deleted > 0


def test_on_a_quiet_day_each_client_takes_one_request_per_feed(
    opened: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(opened, warehouse, page_length=12, start_date=OPENING, audit_share=0)
    for window in _days(opened, 2):
        sync_everything(settings, warehouse, window)
    sync_everything(settings, warehouse, window)
    opened.service.traffic.reset()
    sync_everything(settings, warehouse, window)
    requests = opened.service.traffic.counts()["by_endpoint_and_client"]
    for endpoint in ("OperationHistory", "LeadsPagingInfo", "ClientFavoriteDataInfo"):
        assert set(requests[endpoint].values()) == {1}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("feed", FEEDS)
def test_the_fuse_stops_a_publish_when_the_source_returns_nothing(
    opened: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings, feed: str
) -> None:
    (window,) = _days(opened, 1)
    settings = make_settings(opened, warehouse, start_date=OPENING)
    sync_everything(settings, warehouse, window)
    before = snapshot(warehouse)
    _set_faults(opened, FaultRule(kind="nothing_found", endpoint=feed_named(feed).endpoint.name))
    with pytest.raises(SyncError, match="LCM_DELETE_FUSE"):
        _sync(feed, settings, warehouse, window)
    assert snapshot(warehouse) == before
    _set_faults(opened)
    assert _sync(feed, settings, warehouse, window).is_complete
    assert snapshot(warehouse) == before
    _set_faults(opened, FaultRule(kind="nothing_found", endpoint=feed_named(feed).endpoint.name))
    permissive = make_settings(opened, warehouse, start_date=OPENING, delete_fuse=1)
    assert _sync(feed, permissive, warehouse, window).rows_deleted > 0
    _set_faults(opened)
    assert _sync(feed, settings, warehouse, window).is_complete
    assert_exact(opened, warehouse, last=window.last)


def test_a_few_rows_may_vanish_from_a_small_programme_unless_the_fuse_is_zero(
    opened: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    (window,) = _days(opened, 1)
    settings = make_settings(opened, warehouse, start_date=OPENING)
    sync_everything(settings, warehouse, window)
    clients = [row["Client"] for row in opened.world.truth()["leads"]]
    vanishing = len(clients) // 10
    assert vanishing > settings.delete_fuse * len(clients)
    for client in clients[:vanishing]:
        opened.world.mutate("delete_newest", client, kind="leads")
    strict = make_settings(opened, warehouse, start_date=OPENING, delete_fuse=0)
    with pytest.raises(SyncError, match="LCM_DELETE_FUSE"):
        _sync("leads", strict, warehouse, window)
    assert _sync("leads", settings, warehouse, window).rows_deleted == vanishing


def test_a_day_with_fewer_registrations_counts_when_two_polls_agree(
    opened: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    (window,) = _days(opened, 1)
    settings = make_settings(opened, warehouse, start_date=OPENING, concurrency=1, delete_fuse=1)
    engine = SyncEngine(settings, warehouse)
    engine.sync(REGISTRATIONS, window)
    before = snapshot(warehouse)
    busy = OPENING + timedelta(days=3)
    _set_faults(opened, FaultRule(kind="nothing_found", endpoint="ClientInfoPeriod", nth=4))
    report = engine.sync(REGISTRATIONS, window)
    assert (report.pending, report.rows_deleted) == (1, 0)
    assert snapshot(warehouse) == before
    _set_faults(opened)
    with opened.world.lock:
        shelf = opened.world.programme.registrations
        gone = [entry for entry in shelf if entry.row["RegDate"].startswith(str(busy))]
        for entry in gone:
            shelf.remove(entry)
    report = engine.sync(REGISTRATIONS, window)
    assert report.pending == 0
    assert report.rows_deleted == len(gone) > 0


def _sync(feed: str, settings: Settings, warehouse: Warehouse, window: Window) -> Any:
    return SyncEngine(settings, warehouse).sync(feed_named(feed), window)


def _record_versions(warehouse: Warehouse, seen: Versions) -> None:
    for table in VERSIONED:
        for key, row in stored_rows(warehouse, table).items():
            versions = seen[table.name][key]
            if not versions or versions[-1] != row:
                versions.append(row)


def _history(warehouse: Warehouse, table: Table) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Return the earlier versions of each row in order; check that there is no gap between them."""
    assert table.day
    names = [*(column.name for column in table.columns), table.day[0], "extra"]
    statement = SQL(
        "select {}, valid_from, valid_to, deleted_at from history.{} order by valid_from, valid_to"
    ).format(SQL(", ").join(map(Identifier, names)), Identifier(table.name))
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    ended: dict[tuple[Any, ...], datetime] = {}
    with warehouse.connect() as session, session.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(statement).fetchall():
            key = tuple(row[name] for name in table.key)
            begins, ends = row.pop("valid_from"), row.pop("valid_to")
            assert begins < ends
            assert ended.get(key, begins) == begins
            ended[key] = ends
            if row.pop("deleted_at") is None:
                found[key].append(row)
    return dict(found)


def _deleted(warehouse: Warehouse, table: Table) -> set[tuple[Any, ...]]:
    names = SQL(", ").join(map(Identifier, table.key))
    statement = SQL(
        "select {0} from core.{1} group by {0} having bool_and(deleted_at is not null)"
    ).format(names, Identifier(table.name))
    with warehouse.connect() as session:
        return set(session.execute(statement).fetchall())


def _check_statistics_are_kept_only_when_they_changed(warehouse: Warehouse) -> None:
    numbers = ", ".join(
        column.name
        for table in TABLES
        if table.name == "favourite_stats"
        for column in table.columns
        if column.name != "client_id"
    )
    statement = (
        f"select count(*) from (select ({numbers}) is not distinct from lag(({numbers}))"
        " over (partition by client_id order by snapshot_date) as is_same,"
        " row_number() over (partition by client_id order by snapshot_date) as nth"
        " from core.favourite_stats) as steps where is_same and nth > 1"
    )
    with warehouse.connect() as session:
        assert session.execute(statement.encode()).fetchone() == (0,)
