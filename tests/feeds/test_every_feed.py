"""The standard test of a feed: every entry of the registry has everything that a feed needs.

A feed that is only partly added fails here; the failed test names what is missing: an asset, a
check, a label, a table of the migrations, a row of sync.feeds, a status line, completeness, an
endpoint of the simulator, a table of the oracle.
"""

from datetime import date

import dagster as dg
import pytest

from lcm_pipeline.definitions import defs
from lcm_pipeline.feeds import FEEDS, Feed, feed_named
from lcm_pipeline.model.endpoints import ENDPOINTS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.reporting.completeness import TABLES
from lcm_pipeline.reporting.pages import TABLE_NAMES
from lcm_pipeline.simulator.endpoints import ENDPOINTS as SIMULATED
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.status import read_overview
from tests import documented
from tests.conftest import MakeSettings, Programme

DAYS = Window(date(2026, 3, 1), date(2026, 3, 30))

every_feed = pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)


@every_feed
def test_it_is_found_by_its_name(feed: Feed) -> None:
    assert feed_named(feed.name) is feed
    assert feed.endpoint in ENDPOINTS
    assert feed.is_by_day == (feed.endpoint.required == ())


@every_feed
def test_dagster_has_its_assets_and_checks(feed: Feed) -> None:
    graph = defs.resolve_asset_graph()
    keys = {dg.AssetKey(name) for name in feed.assets}
    assert keys <= graph.get_all_asset_keys()
    step = {graph.get(key).assets_def.op.name for key in keys}
    assert step == {feed.step}
    names = {key.name for key in graph.asset_check_keys if key.asset_key in keys}
    assert {"totals_agree", "keys_are_unique", "share_complete"} <= names
    assert ("no_orphans" in names) == (not feed.is_by_day)


@every_feed
def test_the_simulator_has_its_endpoint(feed: Feed) -> None:
    assert feed.endpoint.name in SIMULATED


@every_feed
def test_the_oracle_knows_its_tables(feed: Feed) -> None:
    checked = {table.name for table in documented.TABLES}
    assert feed.main_table.name in checked


@every_feed
def test_the_report_has_a_label_for_it(feed: Feed) -> None:
    names = (TABLE_NAMES["ru"][feed.main_table.name], TABLE_NAMES["en"][feed.main_table.name])
    assert names == feed.label
    assert (feed.main_table.name in TABLES) == feed.has_marts


def test_no_mart_repeats_a_branch_for_each_feed() -> None:
    """The view sync.feed_rows contains the rows of all feeds."""
    for mart in marts():
        assert not {feed.main_table.name for feed in FEEDS} <= set(mart.tables), mart.name


def test_a_sync_of_every_feed_shows_everywhere(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    engine = SyncEngine(make_settings(programme(clients=12), warehouse), warehouse)
    for feed in FEEDS:
        report = engine.sync(feed, DAYS)
        assert report.is_complete, feed.name
        assert report.rows_written, feed.name
    names = [feed.name for feed in FEEDS]
    assert [one.feed for one in read_overview(warehouse)] == names
    with warehouse.connect() as session:
        stored = session.execute(
            "select feed, main_table, is_by_day from sync.feeds order by position"
        )
        assert stored.fetchall() == [(f.name, f.main_table.name, f.is_by_day) for f in FEEDS]
        complete = session.execute(
            "select feed from sync.day_completeness where day = %s and pending = 0", (DAYS.last,)
        )
        assert sorted(row[0] for row in complete.fetchall()) == sorted(names)
        without_rows = session.execute("select feed from sync.row_days where first_day is null")
        assert without_rows.fetchall() == []
    refresh_marts(warehouse, everything=True)
    with warehouse.connect() as session:
        shown = session.execute(
            "select table_name from mart.data_completeness group by 1 having sum(loaded_rows) > 0"
        ).fetchall()
    assert {row[0] for row in shown} == {f.main_table.name for f in FEEDS if f.has_marts}
