"""After one sync of thirty days the warehouse equals the source, with every quirk of the source.

Only the programme is simulated; it is served over HTTP. A client that cannot be proven has to be
pending, and no row may be wrong.
"""

from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from lcm_pipeline.feeds import OPERATIONS, REGISTRATIONS, feed_named
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.quirks import Quirks
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings, Programme
from tests.oracle import assert_exact
from tests.reconciling import duplicate_keys, orphans, totals_differing
from tests.small_tables import check_small_tables
from tests.stored import snapshot
from tests.syncing import FEEDS, MARCH, sync_everything

HEAVY = ("heavy_operations=260",)
SHORT_PAGES = "max_length=9"
UNANNOUNCED = {"LoyaltyLevel": "Золотой", "PointsForecast": 12.34, "SegmentId": 7}


def _served(*quirks: str, habits: tuple[str, ...] = (), **others: Any) -> dict[str, Any]:
    return {"quirks": quirks, "habits": habits, **others}


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    "served",
    [
        pytest.param(_served(), id="as documented"),
        pytest.param(_served("max_length=7", habits=HEAVY), id="pages of at most 7"),
        pytest.param(_served("max_length=100", habits=HEAVY), id="pages of at most 100"),
        pytest.param(_served("tie_order=shuffled", "max_length=40", habits=HEAVY), id="ties swap"),
        pytest.param(_served("one_row_too_many=true", SHORT_PAGES), id="one row too many"),
        pytest.param(_served("zero_based=true", SHORT_PAGES), id="Start counts from 0"),
        pytest.param(_served("oldest_first=true", SHORT_PAGES), id="oldest first"),
        pytest.param(_served("totals=null", SHORT_PAGES), id="no totals"),
        pytest.param(_served("totals=null", "zero_based=true", SHORT_PAGES), id="both at once"),
        pytest.param(_served("informational_message=true"), id="a message each time"),
        pytest.param(_served("end_date=exclusive"), id="EndDate exclusive"),
        pytest.param(_served("end_date=whole_day"), id="EndDate is a whole day"),
        pytest.param(_served("offset_dates=moscow", SHORT_PAGES), id="dates with +03:00"),
        pytest.param(_served("offset_dates=utc", SHORT_PAGES), id="dates with Z"),
        pytest.param(_served("list_favourites_always=true"), id="goods without a request"),
    ],
)
def test_the_warehouse_equals_the_source_with_every_quirk(
    programme: Programme,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    served: dict[str, Any],
) -> None:
    source = programme(clients=40, **served)
    reports = sync_everything(make_settings(source, warehouse), warehouse)
    assert all(report.is_complete for report in reports.values())
    assert_exact(source, warehouse, last=MARCH.last)
    check_small_tables(source, warehouse, last=MARCH.last)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("served", "settings"),
    [
        pytest.param(_served(), {"api_format": "xml"}, id="XML"),
        pytest.param(
            _served(prefix="/WebService/XYZ/lcmanagerpartner/", token=123, operator=5),
            {"token": "123", "operator": 5},
            id="under a path prefix, with a token",
        ),
        pytest.param(
            _served(username="u", password="p", token_seconds=1),
            {"username": "u", "password": "p"},
            id="with a bearer that expires",
        ),
        pytest.param(
            _served(SHORT_PAGES, username="u", password="p", token=77),
            {"username": "u", "password": "p", "token": "77", "api_format": "xml"},
            id="all of it in pages",
        ),
    ],
)
def test_the_warehouse_equals_the_source_over_every_connection(
    programme: Programme,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    served: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    source = programme(clients=40, **served)
    reports = sync_everything(make_settings(source, warehouse, **settings), warehouse)
    assert all(report.is_complete for report in reports.values())
    assert_exact(source, warehouse, last=MARCH.last)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_pages_of_a_few_rows_are_enough(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings, length: int
) -> None:
    source = programme(clients=12)
    settings = make_settings(source, warehouse, page_length=length)
    assert all(report.is_complete for report in sync_everything(settings, warehouse).values())
    assert_exact(source, warehouse, last=MARCH.last)


@pytest.mark.parametrize("zone", ["Asia/Vladivostok", "America/New_York"])
def test_a_row_is_on_the_day_in_the_time_zone_of_the_programme(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings, zone: str
) -> None:
    source = programme(clients=40)
    settings = make_settings(source, warehouse, timezone=zone)
    assert all(report.is_complete for report in sync_everything(settings, warehouse).values())
    assert_exact(source, warehouse, last=MARCH.last, zone=ZoneInfo(zone))


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "served",
    [
        pytest.param(_served("ignore_start=true"), id="Start ignored"),
        pytest.param(_served("totals=-1"), id="a total of one too few"),
        pytest.param(_served("totals=1"), id="a total of one too many"),
        pytest.param(_served("totals=-1", SHORT_PAGES), id="one too few, in short pages"),
        pytest.param(_served("totals=page"), id="a total of the page"),
        pytest.param(_served("totals=page", SHORT_PAGES), id="a capped page claimed as all"),
        pytest.param(_served("tie_order=shuffled", SHORT_PAGES, habits=("tied=0.6",)), id="ties"),
    ],
)
def test_unproven_clients_are_pending_and_no_row_is_wrong(
    programme: Programme,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    served: dict[str, Any],
) -> None:
    source = programme(clients=40, **served)
    reports = sync_everything(make_settings(source, warehouse, page_length=20), warehouse)
    pending = _pending(warehouse)
    assert_exact(source, warehouse, last=MARCH.last, without=pending)
    assert sum(report.pending for report in reports.values()) >= len(pending) > 0
    with warehouse.connect() as session:
        written = session.execute(
            "select count(*) from core.operations join sync.client_state using (client_id)"
            " where feed = 'operations' and pending_since is not null"
        ).fetchone()
    assert written == (0,)


def test_a_refused_client_is_pending_even_if_it_is_the_last_to_read(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """The first client is read alone to find out the paging, so only the second one is left."""
    source = programme(clients=2)
    settings = make_settings(source, warehouse)
    engine = SyncEngine(settings, warehouse)
    engine.sync(REGISTRATIONS, MARCH)
    with warehouse.connect() as session:
        row = session.execute("select max(client_id) from core.clients").fetchone()
    assert row is not None
    source.service.faults.set((FaultRule(kind="sql_other", client=row[0], every=1),))
    for _ in range(2):
        report = engine.sync(OPERATIONS, MARCH)
        assert (report.clients, report.pending) == (2, 1)


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize("cap", [5, 20])
def test_a_total_equal_to_the_cap_of_the_source_is_not_trusted(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings, cap: int
) -> None:
    source = programme(clients=40)
    settings = make_settings(source, warehouse, page_length=30, delete_fuse=1)
    sync_everything(settings, warehouse)
    source.service.desk.quirks = Quirks(totals="page", max_length=cap)
    source.world.advance(days=1)
    sync_everything(settings, warehouse)
    pending = _pending(warehouse)
    assert pending
    assert_exact(source, warehouse, last=MARCH.last, without=pending)


def test_with_a_source_that_ignores_start_one_page_is_still_read(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40, quirks=["ignore_start=true"])
    sync_everything(make_settings(source, warehouse, page_length=20), warehouse)
    rows = Counter(row["Client"] for row in source.world.truth()["operations"])
    longer = {client for client, count in rows.items() if count > 20}
    largest = max(count for count in rows.values() if count <= 20)
    doubtful = {client for client, count in rows.items() if count == largest}
    assert _pending(warehouse, "operations") <= longer | doubtful


def test_invalid_rows_are_quarantined_and_affect_nothing_else(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40, habits=["bad_rows=0.05"], quirks=[SHORT_PAGES])
    report = sync_everything(make_settings(source, warehouse), warehouse)["operations"]
    assert_exact(source, warehouse, last=MARCH.last)
    bad = Counter(row["Client"] for row in source.world.truth()["bad_rows"])
    with warehouse.connect() as session:
        held = session.execute("select client_id, reason from sync.quarantine").fetchall()
    assert Counter(client for client, _ in held) == bad
    assert report.quarantined == bad.total() > 0
    assert report.pending == 0
    assert not report.is_complete
    assert all(reason for _, reason in held)


def test_unknown_fields_are_stored_and_reported_once(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40, quirks=["extra_fields=true"])
    settings = make_settings(source, warehouse)
    first = sync_everything(settings, warehouse)
    again = sync_everything(settings, warehouse)
    assert all(report.unknown_fields == tuple(UNANNOUNCED) for report in first.values())
    assert all(report.unknown_fields == () for report in again.values())
    assert_exact(source, warehouse, last=MARCH.last, extra=UNANNOUNCED)


@pytest.mark.slow
def test_a_second_sync_leaves_every_row_identical(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(
        clients=60,
        habits=["bad_rows=0.03", "nulls=0.3", "offers_daily=0.2", *HEAVY],
        quirks=["tie_order=shuffled", "max_length=60"],
    )
    sync_everything(make_settings(source, warehouse), warehouse)
    before = snapshot(warehouse)
    for share in ("0", "1/7", "1"):
        sync_everything(make_settings(source, warehouse, audit_share=share), warehouse)
        assert snapshot(warehouse) == before


def test_a_synced_warehouse_reconciles(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=40, habits=["bad_rows=0.05", *HEAVY], quirks=[SHORT_PAGES])
    sync_everything(make_settings(source, warehouse), warehouse)
    for feed in FEEDS:
        checked = feed_named(feed)
        assert totals_differing(warehouse, checked).listed == []
        assert (duplicate_keys(warehouse, checked), orphans(warehouse, checked)) == (0, 0)


def _pending(warehouse: Warehouse, feed: str | None = None) -> set[int]:
    with warehouse.connect() as session:
        rows = session.execute(
            "select client_id from sync.client_state"
            " where pending_since is not null and feed = coalesce(%s, feed)",
            (feed,),
        )
        return {row[0] for row in rows}
