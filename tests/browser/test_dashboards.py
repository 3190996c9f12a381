"""A person starts the dashboards, logs in and opens each: every chart shows something."""

import json
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import Page
from psycopg.sql import SQL, Identifier

from lcm_pipeline.superset.archive import write_zip
from lcm_pipeline.superset.bundle import bundle_of
from lcm_pipeline.superset.definition import Dashboard, dashboards_folder, read_definition
from lcm_pipeline.superset.server import find_superset, prepare
from lcm_pipeline.warehouse.access.bi_logins import sqlalchemy_uri
from lcm_pipeline.warehouse.connection import Warehouse
from tests.browser.looking import DashboardView, logged_in, open_dashboard
from tests.browser.serving import ENVIRONMENT, Served, missing, open_browser, serving_dashboards
from tests.browser.worlds import fill_with_a_past
from tests.databases import address_of
from tests.waiting import PATIENCE

_CYRILLIC = re.compile("[А-Яа-яё]")
DEFINITION = read_definition(dashboards_folder() / "definition", "en")

if reason := missing():
    pytest.skip(reason, allow_module_level=True)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def filled(postgres: str, template: str) -> Iterator[Warehouse]:
    with psycopg.connect(postgres, autocommit=True) as session:
        session.execute(SQL("create database dashboards template {}").format(Identifier(template)))
    warehouse = Warehouse(address_of(postgres, "dashboards"))
    yield warehouse
    with psycopg.connect(postgres, autocommit=True) as session:
        session.execute("drop database dashboards with (force)")


@pytest.fixture(scope="module")
def served(filled: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("dashboards")
    with serving_dashboards(filled.url, home, "en") as starting:
        # Superset takes a minute to create its tables; meanwhile the programme is synced.
        starting.wait_for("Preparing Superset")
        fill_with_a_past(filled, tmp_path_factory.mktemp("programme"), today=date.today())
        yield starting.ready()


@pytest.fixture(scope="module")
def page(served: Served) -> Iterator[Page]:
    with open_browser() as browser, logged_in(browser, served) as page:
        yield page


@pytest.mark.parametrize("width", [1280, 1920])
@pytest.mark.parametrize("dashboard", DEFINITION.dashboards, ids=lambda page: page.slug)
def test_every_chart_of_a_dashboard_shows_something(
    dashboard: Dashboard, width: int, page: Page
) -> None:
    view = open_dashboard(page, dashboard.slug, width)
    rows = (*DEFINITION.strip, *dashboard.rows)
    assert view.titles == [chart.title for row in rows for chart in row.charts]
    assert view.failures == []
    assert view.empty == []
    assert view.overprinted == []
    assert view.cut == []
    # One language at a time: the menus too.
    assert [title for title in view.titles if _CYRILLIC.search(title)] == []
    _check_times(dashboard, view)


def _check_times(dashboard: Dashboard, view: DashboardView) -> None:
    """Check that the time filters apply to the charts with a time, and to no others."""
    for chart in (chart for row in (*DEFINITION.strip, *dashboard.rows) for chart in row.charts):
        time = DEFINITION.layer.marts[chart.mart].time
        is_narrowed = f"{time} >= " in view.queries[chart.title]
        assert is_narrowed == (time is not None and not chart.whenever), chart.title


def test_a_database_without_a_sync_is_reported_as_empty(served: Served) -> None:
    assert "The warehouse is empty" in served.output


def test_superset_can_only_read_the_marts(served: Served, filled: Warehouse) -> None:
    with sqlite3.connect(served.home / "superset" / "superset.db") as own:
        ((uri,),) = own.execute("select sqlalchemy_uri from dbs").fetchall()
    user = urlsplit(uri.replace("+psycopg2", "")).username
    parts = urlsplit(filled.url)
    url = parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}").geturl()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("select count(*) from mart.program_daily")
        assert session.execute("show statement_timeout").fetchone() == ("1min",)
        for statement in ("select 1 from core.clients", "select 1 from sync.runs"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement.encode())
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            session.execute("create table public.mine (id int)")


def test_a_second_start_restores_charts_without_duplicates(
    served: Served, filled: Warehouse
) -> None:
    own = sqlite3.connect(served.home / "superset" / "superset.db")
    with own:
        own.execute("update slices set slice_name = 'spoilt', params = '{}'")
    bundle = bundle_of(filled)
    prepare(find_superset(ENVIRONMENT, served.home), bundle, sqlalchemy_uri(filled.url))
    for table, folder in (("slices", "charts"), ("dashboards", "dashboards"), ("dbs", "databases")):
        ((count,),) = own.execute(f"select count(*) from {table}").fetchall()
        assert count == sum(name.startswith(f"{folder}/") for name in bundle)
    assert own.execute("select count(*) from slices where slice_name = 'spoilt'").fetchone() == (0,)
    own.close()


def test_superset_imports_the_zip(page: Page, filled: Warehouse, tmp_path: Path) -> None:
    write_zip(tmp_path / "bundle.zip", bundle_of(filled))
    token = page.request.get("/api/v1/security/csrf_token/").json()["result"]
    response = page.request.post(
        "/api/v1/dashboard/import/",
        headers={"X-CSRFToken": token, "Referer": page.url},
        multipart={
            "formData": {
                "name": "bundle.zip",
                "mimeType": "application/zip",
                "buffer": (tmp_path / "bundle.zip").read_bytes(),
            },
            "passwords": json.dumps({"databases/loyalty_warehouse.yaml": "secret"}),
            "overwrite": "true",
        },
    )
    assert (response.status, response.json()) == (200, {"message": "OK"})


def test_other_users_cannot_read_the_secrets_of_superset(served: Served) -> None:
    folder = served.home / "superset"
    assert folder.stat().st_mode & 0o077 == 0
    for name in ("secret_key", "admin_password", "login_password", "superset.log"):
        assert (folder / name).stat().st_mode & 0o077 == 0, name
    assert served.password not in (folder / "superset.log").read_text()


def test_ctrl_c_ends_superset_and_the_command(served: Served) -> None:
    """Must be the last test of this file, because it stops the server."""
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(PATIENCE) == 0
    listening = subprocess.run(
        ["pgrep", "-f", f"--bind {urlsplit(served.url).netloc}"], capture_output=True, check=False
    )
    assert listening.stdout == b""
