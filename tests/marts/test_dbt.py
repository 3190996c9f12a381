"""The dbt package: generated from the database and the dashboards' definition, and built by dbt."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lcm_pipeline.superset.dbt_package import package_of
from lcm_pipeline.superset.definition import dashboards_folder, read_definition
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from tests.marts.worlds import Synced

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dbt"
DBT = ROOT / ".venv-dbt" / "bin" / "dbt"
BY_MONTH = {
    "activity_monthly", "favourite_goods_monthly", "points_bridge_monthly",
    "points_rollforward_monthly", "redemption", "repeat_purchase",
}  # fmt: skip


def test_the_package_matches_the_database_and_the_definition(warehouse: Warehouse) -> None:
    files = package_of(warehouse)
    for name, text in files.items():
        assert (PACKAGE / name).read_text(encoding="utf-8") == text, f"{name}: run `lcm dbt`"
    made = {f"models/metrics/{path.name}" for path in (PACKAGE / "models/metrics").glob("*.sql")}
    assert made <= files.keys()


def test_the_freshness_of_every_stored_mart_is_known(warehouse: Warehouse) -> None:
    """Of tables that follow changed rows as well as of materialized views."""
    sources = msgspec.yaml.decode(package_of(warehouse)["models/sources.yml"])["sources"]
    (tables,) = [source["tables"] for source in sources if source["name"] == "mart"]
    fresh = {table["name"] for table in tables if "freshness" in table.get("config", {})}
    assert fresh == {mart.name for mart in marts() if mart.kind != "view"}


def test_freshness_is_known_of_tables_without_rows_or_changes(by_hand: Synced) -> None:
    """Names of stores change once a year, and a programme without restatements is a good one."""
    package = msgspec.yaml.decode(package_of(by_hand.warehouse)["models/sources.yml"])
    sources = {source["name"]: source["tables"] for source in package["sources"]}
    known = {}
    with by_hand.warehouse.connect() as session:
        session.execute("set local role lcm_analyst")
        for table in (*sources["core"], *sources["mart"]):
            if "freshness" in table.get("config", {}):
                (moment,) = session.execute(table["config"]["loaded_at_query"]).fetchone() or ()
                known[table["name"]] = moment
        readings = session.execute("select feed, known_at from mart.readings").fetchall()
    assert {table["name"] for table in sources["core"]} <= known.keys()
    assert None not in known.values()
    by_feed = dict(readings)
    assert known["cards"] == known["registrations"] == by_feed["registrations"]
    assert known["bonus_sources"] == known["operations"] == by_feed["operations"]
    assert known["goods"] == known["favourite_offers"] == by_feed["favourites"]


def test_every_dashboard_is_an_exposure_and_every_metric_an_expression(
    warehouse: Warehouse,
) -> None:
    files = package_of(warehouse)
    definition = read_definition(dashboards_folder() / "definition", "en")
    for dashboard in definition.dashboards:
        assert f"label: {dashboard.title}" in files["models/exposures.yml"]
    for use in definition.layer.marts.values():
        for name in use.metrics:
            assert f'"{name}":' in files["macros/metric_expressions.sql"]


def test_days_to_the_first_redemption_are_weighted_by_clients_whose_registration_is_known(
    warehouse: Warehouse,
) -> None:
    """Clients of whom the roster does not tell have no days from registration."""
    definition = read_definition(dashboards_folder() / "definition", "en")
    metric = definition.layer.marts["redemption"].metrics["days_to_first"]
    with warehouse.connect() as session:
        row = session.execute(
            f"select {metric.sql} from (values (10.0, 2, 2), (40.0, 9, 1), (null, 3, 0))"
            " as redemption (days_to_first_redemption, first_redeemers, registered_first_redeemers)"
        ).fetchone()
    assert row == (20,)


def test_no_metric_adds_up_balances_of_days_or_ages_of_cohorts(warehouse: Warehouse) -> None:
    """MetricFlow sums a measure over whatever it is not grouped by."""
    metrics = msgspec.yaml.decode(package_of(warehouse)["models/metrics/metrics.yml"])
    models = {model["name"]: model for model in metrics["semantic_models"]}
    for name, time in (("points_liability_daily", "of_day"), ("activity_monthly", "of_month")):
        for measure in models[name]["measures"]:
            assert measure["non_additive_dimension"] == {"name": time, "window_choice": "max"}
    # Time is their only dimension, so ages cannot be told apart.
    assert models.keys().isdisjoint({"points_vintage", "cohort_retention"})
    # Nor can the tables whose rows are counted.
    assert "data_completeness" not in models


def test_metrics_of_marts_by_month_cannot_be_asked_by_day(warehouse: Warehouse) -> None:
    """MetricFlow would put a whole month into its first day or week."""
    metrics = msgspec.yaml.decode(package_of(warehouse)["models/metrics/metrics.yml"])
    for model in metrics["semantic_models"]:
        (dimension,) = model["dimensions"]
        wanted = "month" if model["name"] in BY_MONTH else "day"
        assert dimension["type_params"] == {"time_granularity": wanted}, model["name"]


@pytest.fixture
def _analytics(by_hand: Synced) -> Iterator[None]:
    """A schema for dbt; dropped at the end, because other tests share the warehouse."""
    yield
    with by_hand.warehouse.connect(autocommit=True) as session:
        session.execute("drop schema if exists analytics cascade")


@pytest.mark.slow
@pytest.mark.skipif(not DBT.exists(), reason="dbt is not there: make dbt")
@pytest.mark.usefixtures("_analytics")
def test_dbt_builds_the_example_and_tests_its_sources(by_hand: Synced, tmp_path: Path) -> None:
    with by_hand.warehouse.connect() as session:
        info = session.info
        environment = {
            **os.environ,
            "PGHOST": info.host,
            "PGPORT": str(info.port),
            "PGUSER": info.user,
            "PGPASSWORD": info.password or "",
            "PGDATABASE": info.dbname,
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
    for command in (["build"], ["source", "freshness"]):
        done = subprocess.run(
            [DBT, *command, "--project-dir", PACKAGE, "--profiles-dir", PACKAGE,
             "--target-path", tmp_path / "target", "--log-path", tmp_path / "logs"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-5000:]
        assert "WARN" not in done.stdout.replace("WARN=0", ""), done.stdout[-5000:]
    with by_hand.warehouse.connect() as session:
        row = session.execute(
            "select sum(net_sales), count(net_sales_per_working_day) from analytics.store_months"
        ).fetchone()
        wanted = session.execute("select sum(net_sales) from mart.store_daily").fetchone()
        running = session.execute(
            "select net_sales, net_sales_per_working_day from analytics.store_months"
            " where month = '2026-03-01' and net_sales <> 0"
        ).fetchall()
    assert row is not None
    assert wanted is not None
    assert row[0] == wanted[0] != 0
    assert row[1] > 0
    # The world ends on 10 March. Six days until then are working days: the 9th is off for the 8th.
    assert running
    assert all(round(sales / 6, 2) == a_day for sales, a_day in running)
