"""A first load in batches: bounded, shown as incomplete, and resumed after it was killed."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from lcm_pipeline.feeds import FEEDS, OPERATIONS, REGISTRATIONS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.conftest import MakeSettings, Programme
from tests.crash.commit_points import BATCH_PUBLISHED, point_of_commit
from tests.crash.taps import TappedWarehouse
from tests.databases import fetch_rows
from tests.oracle import assert_exact
from tests.syncing import MARCH, sync_everything

_BATCH_ROWS = 60
Observer = Callable[[psycopg.Connection[Any]], None]


@pytest.fixture
def source(programme: Programme) -> RunningSimulator:
    return programme(clients=25)


@pytest.fixture
def settings(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> Settings:
    return make_settings(source, warehouse, publish_batch_rows=_BATCH_ROWS)


class Killed(Exception):  # noqa: N818 - named after the event
    """Ends a sync at the point where the process is killed."""


class AfterEachBatch:
    """Calls a function after each committed batch of a first load."""

    def __init__(self, observe: Observer) -> None:
        self.batches = 0
        self._observe = observe

    def before(self, text: str, session: psycopg.Connection[Any]) -> None:
        """Do nothing."""

    def after(self, text: str, session: psycopg.Connection[Any]) -> None:
        """Do nothing."""

    def reached(self, point: str, feed: str, session: psycopg.Connection[Any] | None) -> None:
        if point == BATCH_PUBLISHED and session is not None:
            self.batches += 1
            self._observe(session)


def test_a_first_load_in_batches_is_incomplete_until_the_last_one(
    source: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    refresh_marts(warehouse)
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, MARCH)
    readings: list[Any] = []

    def observe(_session: psycopg.Connection[Any]) -> None:
        readings.append(
            (
                fetch_rows(warehouse, "select count(*) from core.operations")[0][0],
                fetch_rows(
                    warehouse,
                    "select count(*), bool_or(is_complete), max(complete_share),"
                    " max(complete_through), max(day) from sync.day_completeness"
                    " where feed = 'operations'",
                ),
                fetch_rows(
                    warehouse,
                    "select count(*), bool_or(is_complete), max(complete_share),"
                    " max(complete_through), max(day) from mart.data_completeness"
                    " where table_name = 'operations'",
                ),
            )
        )

    tapped = TappedWarehouse(warehouse.url, AfterEachBatch(observe))
    report = SyncEngine(settings, tapped).sync(OPERATIONS, MARCH)
    rows = fetch_rows(warehouse, "select count(*) from core.operations")[0][0]
    assert report.rows_written >= rows > 5 * _BATCH_ROWS
    seen = [one[0] for one in readings]
    assert seen == sorted(seen)
    assert 0 < seen[0] < rows
    assert len(seen) > rows / (3 * _BATCH_ROWS)
    for _, of_view, of_mart in readings:
        days, *rest = of_view[0]
        assert days >= 30
        assert rest == [False, 0, None, MARCH.last]
        assert of_mart[0] == of_view[0]
    assert fetch_rows(
        warehouse,
        "select bool_and(is_complete) from sync.day_completeness where feed = 'operations'",
    ) == [(True,)]
    # No transaction wrote more than a batch and the rows of one client.
    heaviest = fetch_rows(
        warehouse, "select max(staged) from sync.fetches join sync.runs using (run_id)"
        " where feed = 'operations'"
    )[0][0]  # fmt: skip
    sizes = fetch_rows(warehouse, "select count(*) from core.operations group by xmin::text")
    assert max(size for (size,) in sizes) <= _BATCH_ROWS + heaviest
    refresh_marts(warehouse)
    assert fetch_rows(
        warehouse,
        "select bool_and(is_complete) from mart.data_completeness where table_name = 'operations'",
    ) == [(True,)]


def test_a_first_load_killed_between_batches_resumes_with_the_next_one(
    source: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    def kill(_session: psycopg.Connection[Any]) -> None:
        raise Killed

    command = SyncEngine(settings, warehouse).begin_command(FEEDS, MARCH)
    kills: Counter[str] = Counter()
    for feed in FEEDS:
        while True:
            listener = AfterEachBatch(kill)
            # A client registers once and has about a dozen operations.
            rows = 15 if feed is REGISTRATIONS else _BATCH_ROWS
            smaller = settings.model_copy(update={"publish_batch_rows": rows})
            engine = SyncEngine(smaller, TappedWarehouse(warehouse.url, listener))
            try:
                engine.sync(feed, MARCH, command_id=command)
            except Killed:
                kills[feed.name] += 1
                continue
            break
    assert all(kills[feed.name] > 1 for feed in FEEDS[:2]), kills
    assert_exact(source, warehouse, last=MARCH.last)
    requests = source.service.traffic.counts()["by_endpoint"]
    # One request per client of one page, and one per start to check the largest page.
    clients = fetch_rows(warehouse, "select count(*) from core.clients")[0][0]
    assert requests["OperationHistory"] <= 2 * clients + 2 * kills["operations"] + 4
    assert fetch_rows(warehouse, "select status from sync.commands") == [("finished",)]
    assert (
        fetch_rows(warehouse, "select tablename from pg_tables where schemaname = 'staging'") == []
    )


@pytest.mark.slow
def test_marts_refreshed_between_batches_are_correct_at_the_end(
    warehouse: Warehouse, settings: Settings
) -> None:
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, MARCH)

    def refresh(_session: psycopg.Connection[Any]) -> None:
        if listener.batches in (2, 4):
            refresh_marts(warehouse)

    listener = AfterEachBatch(refresh)
    SyncEngine(settings, TappedWarehouse(warehouse.url, listener)).sync(OPERATIONS, MARCH)
    assert listener.batches > 5
    refresh_marts(warehouse)
    kept = _marts(warehouse)
    refresh_marts(warehouse, everything=True)
    assert kept == _marts(warehouse)
    assert all(kept)


def _marts(warehouse: Warehouse) -> list[list[str]]:
    names = ("client_360", "program_daily", "points_liability_daily", "data_completeness")
    return [
        [
            row[0]
            for row in fetch_rows(warehouse, f"select t::text from mart.{name} as t order by 1")
        ]
        for name in names
    ]


@pytest.mark.slow
def test_the_next_sync_is_published_in_one_transaction(
    source: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    sync_everything(settings, warehouse)
    source.world.advance(days=1)
    following = Window(MARCH.last + timedelta(days=1), MARCH.last + timedelta(days=1))
    listener = AfterEachBatch(lambda _session: None)
    tiny = settings.model_copy(update={"publish_batch_rows": 1})
    sync_everything(tiny, TappedWarehouse(warehouse.url, listener), following)
    assert listener.batches == 0
    assert_exact(source, warehouse, last=following.last)


def test_the_statement_tag_of_a_batch_is_its_commit_point() -> None:
    statements = ["-- tag: state-updated", "-- tag: batch-published"]
    assert point_of_commit(statements) == BATCH_PUBLISHED
