"""The statements of docs/postgres.md that keep a copy of the warehouse by logical replication."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from tests.conftest import MakeSettings, Programme
from tests.docs.commands import ROOT
from tests.syncing import MARCH, sync_everything
from tests.waiting import wait_for

_PAGE = ROOT / "docs" / "postgres.md"

# One line for each part of the warehouse that the copy has from the subscription, or computes.
_SUMS = """
    select
        (select concat_ws(' ', count(*), sum(amount)) from core.operations),
        (select concat_ws(' ', count(*), sum(points)) from mart.points_movements),
        (select concat_ws(' ', count(*), sum(net_sales)) from mart.client_360)
"""


@pytest.mark.slow
def test_a_copy_follows_the_warehouse(
    programme: Programme, make_settings: MakeSettings, tmp_path: Path
) -> None:
    prepare, subscribe, refresh = re.findall(
        r"^ +```sql\n(.*?)^ +```",
        _PAGE.read_text("utf-8").partition("### A copy by logical replication")[2],
        re.M | re.S,
    )
    publication, subscription = subscribe.split(";")[:2]
    source = programme(clients=8)
    with _server(tmp_path / "warehouse") as warehouse, _server(tmp_path / "copy") as copy:
        settings = make_settings(source, warehouse)
        with (
            warehouse.connect(autocommit=True) as session,
            copy.connect(autocommit=True) as copy_session,
        ):
            session.execute(publication.encode())
            _run(copy_session, prepare)
            copy_session.execute(subscription.replace("…", _conninfo(warehouse)).encode())
            for days in range(2):
                day = MARCH.last + timedelta(days=days)
                sync_everything(settings, warehouse, Window(day, day) if days else MARCH)
                refresh_marts(warehouse)
                _wait_for_copy(session)
                _run(copy_session, refresh)
                sums = session.execute(_SUMS).fetchone()
                assert copy_session.execute(_SUMS).fetchone() == sums
                source.world.advance(days=1)


@contextmanager
def _server(folder: Path) -> Iterator[Warehouse]:
    """A server of its own with a warehouse, whose write-ahead log can be decoded."""
    with embedded_postgres(folder) as url, psycopg.connect(url, autocommit=True) as session:
        session.execute("alter system set wal_level = logical")
    with embedded_postgres(folder) as url:
        warehouse = Warehouse(url)
        migrate(warehouse)
        yield warehouse


def _conninfo(warehouse: Warehouse) -> str:
    with warehouse.connect() as session:
        return f"host={session.info.host} dbname={session.info.dbname} user={session.info.user}"


def _run(session: Session, statements: str) -> None:
    """Run statements as psql does: each cell of the result of a \\gexec is a statement too."""
    for statement in filter(str.strip, statements.split("\\gexec")):
        for cells in session.execute(statement.encode()).fetchall():
            for cell in cells:
                session.execute(cell.encode())


def _wait_for_copy(session: Session) -> None:
    """Wait until the subscription has confirmed all that is written by now."""
    [(written,)] = session.execute("select pg_current_wal_lsn()").fetchall()
    wait_for(
        lambda: (
            session.execute(
                "select from pg_stat_replication"
                " where application_name = 'warehouse' and replay_lsn >= %s",
                (written,),
            ).fetchone()
            is not None
        ),
        lambda: session.execute("select * from pg_stat_replication").fetchall(),
    )
