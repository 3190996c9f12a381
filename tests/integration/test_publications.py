"""Logical replication: syncs and refreshes work with a publication for all tables."""

from datetime import timedelta

import pytest

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from tests.conftest import MakeSettings, Programme
from tests.syncing import MARCH, sync_everything


@pytest.mark.slow
def test_a_publication_for_all_tables_breaks_nothing(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=8)
    settings = make_settings(source, warehouse)
    with warehouse.connect(autocommit=True) as session:
        session.execute("create publication everything for all tables")
    sync_everything(settings, warehouse)
    refresh_marts(warehouse)
    client = min(source.world.programme.customers)
    source.world.mutate("insert_top", client)
    source.world.advance(days=1)
    next_day = MARCH.last + timedelta(days=1)
    sync_everything(settings, warehouse, Window(next_day, next_day))
    refresh_marts(warehouse)
    refresh_marts(warehouse, everything=True)


def test_marts_that_a_publication_has_can_be_recreated(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    sync_everything(make_settings(programme(clients=3), warehouse), warehouse)
    refresh_marts(warehouse)
    with warehouse.connect(autocommit=True) as session:
        session.execute("create publication marts for tables in schema mart")
        session.execute("update public.lcm_marts set checksum = '' where name = 'cheques'")
    assert migrate(warehouse) == ["mart.cheques"]


def test_every_table_has_a_replica_identity(warehouse: Warehouse) -> None:
    with warehouse.connect() as session:
        rows = session.execute(
            "select oid::regclass::text from pg_class as classes"
            " where relkind in ('r', 'p') and relpersistence = 'p' and relreplident = 'd'"
            " and relnamespace::regnamespace::text"
            " in ('core', 'history', 'mart', 'outbox', 'refresh', 'sync')"
            " and not exists (select from pg_index"
            " where indrelid = classes.oid and indisprimary)"
        ).fetchall()
    assert rows == []
