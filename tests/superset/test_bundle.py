"""The committed bundle is what the definition says, and names only what the warehouse has."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lcm_pipeline.superset.archive import read_bundle, write_bundle, write_zip
from lcm_pipeline.superset.bundle import build_bundle
from lcm_pipeline.superset.datasets import marts_of
from lcm_pipeline.superset.definition import (
    Chart,
    Definition,
    DefinitionError,
    dashboards_folder,
    read_definition,
)
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.dictionary import describe
from lcm_pipeline.warehouse.marts import marts

DEFINITION = read_definition(dashboards_folder() / "definition")
BUILDING_BLOCKS = {
    "as_of", "buyers_daily", "cheques", "lot_versions", "lots", "members", "points_movements",
    "purchase_months", "readings", "sales_daily", "sales_monthly",
}  # fmt: skip
_BOTH_LANGUAGES = re.compile(r"[А-Яа-яё].* · .*[A-Za-z]")


def _charts(definition: Definition = DEFINITION) -> list[Chart]:
    rows = [*definition.strip, *(row for page in definition.dashboards for row in page.rows)]
    return [chart for row in rows for chart in row.charts]


def _documents(folder: str) -> list[dict[str, Any]]:
    bundle = read_bundle(dashboards_folder() / "bundle")
    return [msgspec.yaml.decode(text) for name, text in bundle.items() if folder in name]


def test_the_committed_bundle_is_the_one_that_lcm_bundle_writes(warehouse: Warehouse) -> None:
    built = build_bundle(DEFINITION, marts_of(describe(warehouse)))
    assert built == read_bundle(dashboards_folder() / "bundle"), "run `lcm bundle`"


def test_every_metric_and_column_is_sql_that_the_warehouse_understands(
    warehouse: Warehouse,
) -> None:
    with warehouse.connect(autocommit=True) as session:
        for dataset in _documents("datasets/"):
            metrics = [metric["expression"] for metric in dataset["metrics"]]
            columns = [
                column["expression"] or column["column_name"] for column in dataset["columns"]
            ]
            for list_of in (metrics, columns):
                if list_of:
                    session.execute(
                        f"select {', '.join(list_of)} from mart.{dataset['table_name']}".encode()
                    )


def test_every_condition_of_a_chart_is_sql_that_the_warehouse_understands(
    warehouse: Warehouse,
) -> None:
    with warehouse.connect(autocommit=True) as session:
        for chart in _charts():
            if chart.only is not None:
                session.execute(f"select from mart.{chart.mart} where {chart.only}".encode())


def test_every_mart_that_analysts_read_is_on_a_chart() -> None:
    wanted = {mart.name for mart in marts()} - BUILDING_BLOCKS
    assert {chart.mart for chart in _charts()} == wanted


def test_every_title_is_russian_and_english() -> None:
    labels = DEFINITION.marts.labels
    titles = [chart.title for chart in _charts()]
    titles += [page.title for page in DEFINITION.dashboards]
    titles += [m.title for use in DEFINITION.marts.marts.values() for m in use.metrics.values()]
    titles += [made.title for made in DEFINITION.marts.calculated.values()]
    titles += [label.title for name in labels if (label := DEFINITION.marts.label(name))]
    assert [title for title in titles if not _BOTH_LANGUAGES.search(title)] == []


def test_every_dashboard_begins_with_completeness_and_restatements() -> None:
    strip = {chart.mart for row in DEFINITION.strip for chart in row.charts}
    assert strip == {"data_completeness", "restatements"}
    for document in _documents("dashboards/"):
        position = document["position"]
        first = position[position["GRID_ID"]["children"][0]]["children"]
        titles = [position[name]["meta"]["sliceName"] for name in first]
        assert titles == [chart.title for chart in DEFINITION.strip[0].charts]


def test_every_row_fills_the_page_and_every_dashboard_has_a_filter_of_time() -> None:
    for page in DEFINITION.dashboards:
        for row in (*DEFINITION.strip, *page.rows):
            assert sum(chart.width for chart in row.charts) == 12, row.charts[0].title
    for document in _documents("dashboards/"):
        kinds = {part["filterType"] for part in document["metadata"]["native_filter_configuration"]}
        assert "filter_time" in kinds


def test_balances_and_counts_of_clients_are_not_summed_up() -> None:
    """What is told anew each day or month is never added over time."""
    stocks = re.compile(
        r"sum\((members|active_balance|pending_balance|active|buyers|clients|opening|closing"
        r"|slots\w*|source_total|loaded_total|quarantined_total|pending_clients)\)"
    )
    additive_across = {("activity_monthly", "members")}
    for name, use in DEFINITION.marts.marts.items():
        for key, metric in use.metrics.items():
            if stocks.fullmatch(metric.sql):
                assert (name, key) in additive_across, f"{name}.{key}: {metric.sql}"


def test_nothing_but_ids_of_clients_is_named(warehouse: Warehouse) -> None:
    bundle = b"".join(read_bundle(dashboards_folder() / "bundle").values())
    with warehouse.connect() as session:
        rows = session.execute(
            "select column_name from information_schema.columns"
            " where table_schema = 'core' and table_name = 'clients'"
            " and column_name in ('surname', 'patronymic', 'phone', 'email', 'birthdate')"
        ).fetchall()
    assert rows
    assert [name for (name,) in rows if f"column_name: {name}".encode() in bundle] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mart": "no_such_mart"}, "no mart no_such_mart"),
        ({"metrics": ("no_such_metric",)}, "no such metric"),
        ({"by": ("no_such_column",)}, "no such column"),
        ({"alarms": {"rows": "around 3"}}, "'around 3' is no alarm"),
    ],
)
def test_a_wrong_definition_is_refused_by_name(
    warehouse: Warehouse, change: dict[str, Any], said: str
) -> None:
    chart = Chart(title="Т · T", mart="restatements", kind="table", width=12, metrics=("rows",))
    row = replace_struct(DEFINITION.strip[0], charts=(replace_struct(chart, **change),))
    with pytest.raises(DefinitionError, match=said):
        build_bundle(
            Definition(DEFINITION.marts, (row,), DEFINITION.dashboards),
            marts_of(describe(warehouse)),
        )


def replace_struct(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **changes)


def test_a_typing_error_in_a_file_is_told_with_its_place(tmp_path: Path) -> None:
    for path in (dashboards_folder() / "definition").glob("*.yaml"):
        (tmp_path / path.name).write_bytes(path.read_bytes().replace(b"kind: area", b"kind: aera"))
    with pytest.raises(DefinitionError, match=r"1_programme.yaml: Invalid enum value 'aera'"):
        read_definition(tmp_path)


def test_equal_bundles_make_equal_zips(tmp_path: Path) -> None:
    files = read_bundle(dashboards_folder() / "bundle")
    write_bundle(tmp_path / "again", files)
    write_zip(tmp_path / "one.zip", files)
    write_zip(tmp_path / "two.zip", read_bundle(tmp_path / "again"))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
