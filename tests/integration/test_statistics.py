"""Postgres has statistics of new rows when the marts are computed, before autovacuum comes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from lcm_pipeline.feeds import OPERATIONS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings, Programme
from tests.syncing import MARCH
from tests.waiting import PATIENCE

FIRST_DAYS = Window(date(2026, 3, 1), date(2026, 3, 8))


@pytest.fixture
def settings(programme: Programme, warehouse: Warehouse, make_settings: MakeSettings) -> Settings:
    return make_settings(programme(clients=80), warehouse)


def _analyzed_and_stored_rows(warehouse: Warehouse) -> tuple[int, int]:
    """The rows of March, by the statistics and by counting."""
    with warehouse.connect() as session:
        row = session.execute(
            "select reltuples::integer, (select count(*) from core.operations_202603)"
            " from pg_class where oid = 'core.operations_202603'::regclass"
        ).fetchone()
    assert row
    return row


def test_a_month_that_has_doubled_is_analyzed_by_the_publish(
    warehouse: Warehouse, settings: Settings
) -> None:
    for window in (FIRST_DAYS, MARCH):
        SyncEngine(settings, warehouse).sync(OPERATIONS, window)
        analyzed, stored = _analyzed_and_stored_rows(warehouse)
        assert analyzed == stored > 0


def test_a_publish_does_not_wait_for_a_vacuum_of_its_tables(
    warehouse: Warehouse, settings: Settings
) -> None:
    SyncEngine(settings, warehouse).sync(OPERATIONS, FIRST_DAYS)
    analyzed, stored = _analyzed_and_stored_rows(warehouse)
    with warehouse.connect() as vacuum, ThreadPoolExecutor(1) as pool:
        vacuum.execute("lock table core.operations_202603 in share update exclusive mode")
        publish = pool.submit(SyncEngine(settings, warehouse).sync, OPERATIONS, MARCH)
        try:
            publish.result(timeout=PATIENCE)
        finally:
            vacuum.rollback()
    after = _analyzed_and_stored_rows(warehouse)
    assert after[0] == analyzed
    assert after[1] > 2 * stored


def test_a_publish_counts_the_bytes_of_tables_beyond_a_gigabyte(
    warehouse: Warehouse, settings: Settings
) -> None:
    with warehouse.connect(autocommit=True) as session:
        # Of a table like this, the doubled bytes do not fit into 32 bits.
        session.execute(
            "update pg_class set relpages = 200000 where oid = 'mart.points_movements'::regclass"
        )
    assert SyncEngine(settings, warehouse).sync(OPERATIONS, FIRST_DAYS).rows_written
