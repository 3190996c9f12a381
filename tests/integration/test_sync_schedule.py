"""With a promised staleness quiet clients are read less often and reported as deferred."""

from datetime import date, datetime, time, timedelta

import pytest

from lcm_pipeline.feeds import LEADS, feed_named
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.plan import plan_window
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.queries import sql_folder
from tests.conftest import MakeSettings, Programme
from tests.oracle import assert_exact
from tests.reconciling import completeness, totals_differing
from tests.stored import snapshot
from tests.syncing import FEEDS, overview_of, registered_by, sync_everything

OPENING, FIRST = date(2026, 2, 20), date(2026, 3, 1)
STALENESS = 7
# Quiet months before the first sync defer no client: only syncs find out that one is quiet.
QUIET_FOR = timedelta(days=100)
LIVELY = (
    "late=0.1",
    "cancelled=0.05",
    "merged_daily=0.02",
    "visits_daily=0.03",
    "leads_daily=0.02",
    "offers_daily=0.02",
)
CLIENT_FEEDS = FEEDS[1:]


@pytest.fixture
def opened(programme: Programme) -> RunningSimulator:
    """A programme of forty clients, most of them quiet, opened ten days before the first sync."""
    now = datetime.combine(FIRST, time(0, 0, 1))
    return programme(clients=40, start=OPENING, now=now, habits=LIVELY, seed=3)


@pytest.fixture
def settings(
    opened: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> Settings:
    # A merged client moves more rows than the default fuse allows for so few clients.
    return make_settings(
        opened,
        warehouse,
        start_date=OPENING,
        max_staleness_days=STALENESS,
        page_length=12,
        delete_fuse=0.5,
    )


@pytest.mark.slow
def test_thirty_days_and_a_quiet_week_later_the_warehouse_equals_the_source(
    opened: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    sync_everything(settings, warehouse, _noon_after(opened, FIRST))
    _make_clients_quiet(warehouse)
    deferred = 0
    for number in range(1, 30):
        window = _noon_after(opened, FIRST + timedelta(days=number))
        reports = sync_everything(settings, warehouse, window)
        deferred += sum(report.deferred for report in reports.values())
        assert all(report.is_complete for report in reports.values())
        _check_completeness_of_days(warehouse)
        if number % 7 == 0:
            _check_the_mart_agrees(warehouse, window.last)
    assert deferred > 30 * 3 * 10
    # The clock is stopped: stale clients are read within the promise, and changes that only an
    # audit finds within the interval of the audit plus the promise.
    for _ in range(STALENESS + 7):
        window = Window(window.last + timedelta(days=1), window.last + timedelta(days=1))
        sync_everything(settings, warehouse, window)
    assert_exact(opened, warehouse, last=window.last)
    assert [totals_differing(warehouse, feed_named(feed)).listed for feed in FEEDS] == [[]] * 4
    for feed in overview_of(warehouse).values():
        assert feed.complete_through is not None
        assert window.last - feed.complete_through < timedelta(days=STALENESS)


def test_a_deferred_client_takes_no_request_and_is_no_failure(
    opened: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    sync_everything(settings, warehouse, _noon_after(opened, FIRST))
    _make_clients_quiet(warehouse)
    window = _noon_after(opened, FIRST + timedelta(days=1))
    plan = plan_window(settings, warehouse, window)
    opened.service.traffic.reset()
    reports = sync_everything(settings, warehouse, window)
    requests = opened.service.traffic.counts()["by_endpoint_and_client"]
    for feed, endpoint in zip(
        CLIENT_FEEDS, ("OperationHistory", "LeadsPagingInfo", "ClientFavoriteDataInfo"), strict=True
    ):
        report = reports[feed]
        roster = report.clients + report.deferred
        assert (
            len(requests[endpoint])
            == report.clients
            < roster
            == registered_by(warehouse, window.last)
        )
        assert report.is_complete
        assert completeness(warehouse, feed_named(feed), window) == (roster, 0, report.deferred)
        status = overview_of(warehouse)[feed]
        assert (status.pending, status.deferred) == (0, report.deferred)
        assert status.complete_through == FIRST
        planned = next(p for p in plan.feeds if p.feed == feed)
        # The plan does not know the clients that registered on the day itself.
        assert planned.deferred == report.deferred
        assert report.clients - 5 <= planned.clients <= report.clients


@pytest.mark.slow
def test_a_change_is_read_within_the_promise_whatever_came_before(
    opened: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    sync_everything(settings, warehouse, _noon_after(opened, FIRST))
    _make_clients_quiet(warehouse)
    clients = sorted(_states(warehouse))[:20]
    for client in clients:
        opened.world.mutate("insert_top", client, kind="leads")
    seen: dict[int, int] = {}
    for number in range(1, STALENESS + 1):
        # Only those leads change: the clock of the source is stopped.
        day = FIRST + timedelta(days=number)
        sync_everything(settings, warehouse, Window(day, day))
        for client, changed in _states(warehouse).items():
            if changed == day and client in clients:
                seen.setdefault(client, number)
    assert sorted(seen) == clients
    assert len(set(seen.values())) > 3


def test_after_days_without_a_sync_overdue_clients_are_read_at_once(
    opened: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    sync_everything(settings, warehouse, _noon_after(opened, FIRST))
    _make_clients_quiet(warehouse)
    late = _noon_after(opened, FIRST + timedelta(days=STALENESS))
    reports = sync_everything(settings, warehouse, late)
    assert [reports[feed].deferred for feed in CLIENT_FEEDS] == [0, 0, 0]


def test_an_old_window_rereads_no_client_that_was_read_since(
    opened: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    opened.world.advance(days=12)
    newest = Window(FIRST + timedelta(days=10), FIRST + timedelta(days=10))
    sync_everything(settings, warehouse, newest)
    _make_clients_quiet(warehouse)
    old = Window(FIRST, FIRST + timedelta(days=2))
    before = snapshot(warehouse)
    reports = sync_everything(settings, warehouse, old)
    for feed in CLIENT_FEEDS:
        assert reports[feed].clients == 0 < reports[feed].deferred
        assert completeness(warehouse, feed_named(feed), old)[1:] == (0, 0)
    assert snapshot(warehouse) == before


@pytest.mark.slow
def test_a_backfill_of_a_range_is_exact_with_the_schedule_on(
    opened: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    opened.world.advance(datetime(2026, 3, 31, 12))
    sync_everything(settings, warehouse, Window(OPENING, date(2026, 3, 15)))
    sync_everything(settings, warehouse, Window(date(2026, 3, 10), date(2026, 3, 30)))
    assert_exact(opened, warehouse, last=date(2026, 3, 30))
    assert {feed.complete_through for feed in overview_of(warehouse).values()} == {
        date(2026, 3, 30)
    }


def test_quiet_clients_that_are_pending_or_quarantined_are_read_in_each_run(
    opened: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    sync_everything(settings, warehouse, _noon_after(opened, FIRST))
    _make_clients_quiet(warehouse)
    clients = sorted(_states(warehouse))
    failing, bad = clients[:10], clients[10:20]
    with warehouse.connect() as session:
        session.cursor().executemany(
            "insert into sync.quarantine (feed, client_id, row_digest, table_name, reason, raw,"
            " sync_run_id) values ('leads', %s, '\\x00', 'leads', 'it does not fit', '{}', 1)",
            [(client,) for client in bad],
        )
        session.execute(
            "update sync.client_state set pending_since = now() where client_id = any(%s)",
            (failing,),
        )
    opened.service.traffic.reset()
    SyncEngine(settings, warehouse).sync(LEADS, _noon_after(opened, FIRST + timedelta(days=1)))
    requests = {int(c) for c in _requests_by_client(opened)["LeadsPagingInfo"]}
    assert requests >= {*failing, *bad}
    assert len(requests) < len(clients)


def test_days_wait_for_a_failed_client_until_a_later_run_proves_it(
    opened: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    sync_everything(settings, warehouse, _noon_after(opened, FIRST))
    client = min(_states(warehouse))
    engine = SyncEngine(settings, warehouse)
    opened.service.faults.set([FaultRule(kind="sql_other", endpoint="LeadsPagingInfo",
                                         client=client)])  # fmt: skip
    failed = _noon_after(opened, FIRST + timedelta(days=1))
    assert engine.sync(LEADS, failed).pending == 1
    assert overview_of(warehouse)["leads"].complete_through == FIRST
    opened.service.faults.set([])
    assert engine.sync(LEADS, _noon_after(opened, FIRST + timedelta(days=2))).is_complete
    assert overview_of(warehouse)["leads"].complete_through == FIRST + timedelta(days=2)


def _noon_after(source: RunningSimulator, day: date) -> Window:
    """Return the window of a day; set the clock of the source to noon of the next day."""
    source.world.advance(datetime.combine(day, time(12)) + timedelta(days=1))
    return Window(day, day)


def _make_clients_quiet(warehouse: Warehouse) -> None:
    """Move the last change of every client into the distant past."""
    with warehouse.connect() as session:
        session.execute(
            "update sync.client_state set changed_date = changed_date - %s", (QUIET_FOR,)
        )


def _check_completeness_of_days(warehouse: Warehouse) -> None:
    """Compare the completeness of days, and the overview, with a count of clients."""
    with warehouse.connect() as session:
        days = session.execute(
            "select feed, day, clients, pending, deferred from sync.day_completeness"
            " where feed <> 'registrations'"
        ).fetchall()
        clients = session.execute(
            "select feed, registration_date, proven_date"
            " from core.clients join sync.client_state using (client_id)"
        ).fetchall()
    overview = overview_of(warehouse)
    whole = dict.fromkeys(CLIENT_FEEDS, FIRST)
    for feed, day, *counts in days:
        known = [through for f, registered, through in clients if f == feed and registered <= day]
        waiting = sum(through < day for through in known)
        assert counts == [len(known), 0, waiting]
        if not waiting:
            whole[feed] = max(whole[feed], day)
    assert {feed: overview[feed].complete_through for feed in CLIENT_FEEDS} == whole


def _check_the_mart_agrees(warehouse: Warehouse, newest: date) -> None:
    refresh_marts(warehouse, {"members", "data_completeness"})
    with warehouse.connect() as session:
        days = session.execute(
            "select feed, clients, pending, deferred from sync.day_completeness"
            " where feed <> 'registrations' and day = %s",
            (newest,),
        ).fetchall()
        rows = session.execute(
            "select replace(table_name, 'favourite_offers', 'favourites'), clients,"
            " pending_clients, deferred_clients, complete_through from mart.data_completeness"
            " where day = %s and table_name <> 'registrations'",
            (newest,),
        ).fetchall()
    overview = overview_of(warehouse)
    assert sorted(rows) == sorted(
        (feed, *counts, overview[feed].complete_through) for feed, *counts in days
    )


def _states(warehouse: Warehouse) -> dict[int, date]:
    with warehouse.connect() as session:
        return dict(
            session.execute(
                "select client_id, changed_date from sync.client_state where feed = 'leads'"
            ).fetchall()
        )


def _requests_by_client(source: RunningSimulator) -> dict[str, dict[str, int]]:
    requests: dict[str, dict[str, int]] = source.service.traffic.counts()["by_endpoint_and_client"]
    return requests


def test_the_schedule_migration_keeps_what_was_proven(
    opened: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    sync_everything(settings, warehouse, _noon_after(opened, FIRST))
    client = min(_states(warehouse))
    opened.service.faults.set([FaultRule(kind="sql_other", endpoint="LeadsPagingInfo",
                                         client=client)])  # fmt: skip
    sync_everything(settings, warehouse, _noon_after(opened, FIRST + timedelta(days=1)))
    statement = "select feed, client_id, proven_date from sync.client_state order by 1, 2"
    text = (sql_folder() / "migrations" / "0008_add_adaptive_schedule.sql").read_text()
    with warehouse.connect() as session:
        expected = session.execute(statement).fetchall()
        assert ("leads", client, FIRST) in expected
        session.execute("update sync.client_state set proven_date = null, changed_date = null")
        # The column has the name that it had in that version.
        session.execute("alter table sync.client_state rename column feed to endpoint")
        session.execute(text[text.index("update sync.client_state") :].encode())
        session.execute("alter table sync.client_state rename column endpoint to feed")
        assert session.execute(statement).fetchall() == expected
