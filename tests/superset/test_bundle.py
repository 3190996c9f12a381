"""The bundle matches the definition, is consistent, and uses only what the warehouse has."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from zipfile import ZipFile

import msgspec
import pytest

from lcm_pipeline.superset.archive import BundleFolderError, write_bundle, write_zip
from lcm_pipeline.superset.bundle import build_bundle, bundle_of, uuid_of
from lcm_pipeline.superset.datasets import marts_of
from lcm_pipeline.superset.definition import (
    Chart,
    Definition,
    DefinitionError,
    dashboards_folder,
    read_definition,
)
from lcm_pipeline.superset.server import SupersetHome
from lcm_pipeline.warehouse.access.dictionary import describe
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from tests.databases import address_of

DEFINITION = read_definition(dashboards_folder() / "definition")
BUILDING_BLOCKS = {
    "activity_changes", "as_of", "buyers_daily", "cheques", "client_interests", "client_totals",
    "enrolment_sums",
    "cohort_sums", "conventions", "dim_bonus_sources", "dim_calendar", "dim_component_types",
    "dim_currency", "dim_partners", "dim_stores", "known_members", "lot_versions", "lots",
    "members",
    "operations_daily", "points_liability_as_known_then", "points_movements", "points_owed",
    "purchase_months", "purchases_monthly", "readings", "readings_by_day", "redeemer_sums",
    "refreshes", "restated_operations", "restated_rows", "rfm_scores", "sales_daily",
    "sales_monthly",
    "dated_parameters", "dim_lead_statuses", "expiring_lots", "liability_sums", "lot_sums",
    "points_sums", "points_bridge_as_known_then", "program_daily_as_known_then",
    # For finance, who export it.
    "points_breakage",
    # For lists of clients, such as for a mailing.
    "client_stores",
}  # fmt: skip
_CYRILLIC = re.compile("[А-Яа-яё]")


def _charts(definition: Definition = DEFINITION) -> list[Chart]:
    rows = [*definition.strip, *(row for page in definition.dashboards for row in page.rows)]
    return [chart for row in rows for chart in row.charts]


def _documents(bundle: dict[str, bytes], folder: str) -> list[dict[str, Any]]:
    return [msgspec.yaml.decode(text) for name, text in bundle.items() if name.startswith(folder)]


def _values_of(part: object, key: str) -> Iterator[Any]:
    """All values under a key, at any depth."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == key:
                yield value
            yield from _values_of(value, key)
    elif isinstance(part, list):
        for value in part:
            yield from _values_of(value, key)


@pytest.fixture(scope="module")
def bundle(postgres: str, template: str) -> dict[str, bytes]:
    warehouse = Warehouse(address_of(postgres, template))
    return bundle_of(warehouse)


def test_the_bundle_has_a_file_for_each_chart_dashboard_and_mart(bundle: dict[str, bytes]) -> None:
    folders = [name.rpartition("/")[0] for name in bundle]
    assert folders.count("charts") == len(_charts())
    assert folders.count("dashboards") == len(DEFINITION.dashboards)
    assert folders.count("datasets") == len({chart.mart for chart in _charts()})
    assert folders.count("databases") == 1
    assert folders.count("") == 1
    assert "metadata.yaml" in bundle


def test_a_bundle_that_is_built_twice_is_the_same(
    bundle: dict[str, bytes], warehouse: Warehouse
) -> None:
    assert bundle_of(warehouse) == bundle


def _lcm_bundle(
    warehouse: Warehouse, folder: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from lcm_pipeline.cli import main; main()", "bundle", *words],
        cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"LCM_DATABASE_URL": warehouse.url},
    )  # fmt: skip


def test_lcm_bundle_writes_the_same_files_to_a_folder_and_to_a_zip(
    bundle: dict[str, bytes], warehouse: Warehouse, tmp_path: Path
) -> None:
    for _ in range(2):
        done = _lcm_bundle(warehouse, tmp_path)
        assert done.returncode == 0, done.stderr
    folder = tmp_path / "build" / "dashboards"
    written = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert written == bundle
    with ZipFile(tmp_path / "dist" / "lcm_dashboards.zip") as archive:
        zipped = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert zipped == bundle


def test_a_member_of_lcm_bi_may_write_the_bundle(
    bundle: dict[str, bytes], warehouse: Warehouse, tmp_path: Path
) -> None:
    parts = urlsplit(warehouse.url)
    host = parts.netloc.rpartition("@")[2]
    reader = Warehouse(parts._replace(netloc=f"designer@{host}").geturl())
    with warehouse.connect(autocommit=True) as owner:
        owner.execute("create role designer login in role lcm_bi")
        try:
            done = _lcm_bundle(reader, tmp_path)
        finally:
            owner.execute("drop role designer")
    assert done.returncode == 0, done.stderr
    assert f"wrote {len(bundle)} files" in done.stdout


def test_ids_are_those_of_the_bundles_that_were_imported_before() -> None:
    """An import updates objects with the same id, and duplicates those with another one."""
    assert uuid_of("database", "Loyalty warehouse") == "aa12fa09-7518-5c3a-b015-8dfc15a53d81"
    assert uuid_of("dataset", "program_daily") == "5c41bc8a-6093-52b9-8ce1-677787cd4035"
    assert uuid_of("dashboard", "lcm-programme") == "be739db7-ccb2-50e5-8dbd-4117abf307a2"
    key = "lcm-programme/trend/program_daily/members"
    assert uuid_of("chart", key) == "29f27d0e-28bd-53b3-bbaa-940500e2a0b5"


def test_a_chart_keeps_its_id_when_its_title_changes(bundle: dict[str, bytes]) -> None:
    titles = {chart["uuid"]: chart["slice_name"] for chart in _documents(bundle, "charts/")}
    # "Redeemed / added" today, in English.
    first = "lcm-programme/trend/program_daily/redeemed to added"
    assert titles[uuid_of("chart", first)] == "Списано к начисленному"


def test_every_reference_to_an_id_is_resolved_within_the_bundle(bundle: dict[str, bytes]) -> None:
    charts, datasets = _documents(bundle, "charts/"), _documents(bundle, "datasets/")
    dashboards, databases = _documents(bundle, "dashboards/"), _documents(bundle, "databases/")
    documents = [*charts, *datasets, *dashboards, *databases]
    ids = [document["uuid"] for document in documents]
    assert len(set(ids)) == len(ids)
    (database,) = databases
    assert {dataset["database_uuid"] for dataset in datasets} == {database["uuid"]}
    known = {dataset["uuid"] for dataset in datasets}
    assert {chart["dataset_uuid"] for chart in charts} == known
    assert set(_values_of(dashboards, "datasetUuid")) <= known
    placed = [
        part["meta"]["uuid"]
        for page in dashboards
        for part in page["position"].values()
        if isinstance(part, dict) and part["type"] == "CHART"
    ]
    assert set(placed) == {chart["uuid"] for chart in charts}


def test_every_metric_and_column_is_valid_sql_in_the_warehouse(
    bundle: dict[str, bytes], warehouse: Warehouse
) -> None:
    with warehouse.connect(autocommit=True) as session:
        for dataset in _documents(bundle, "datasets/"):
            metrics = [metric["expression"] for metric in dataset["metrics"]]
            columns = [
                column["expression"] or column["column_name"] for column in dataset["columns"]
            ]
            for list_of in (metrics, columns):
                if list_of:
                    session.execute(
                        f"select {', '.join(list_of)} from mart.{dataset['table_name']}".encode()
                    )


def test_every_condition_of_a_chart_is_valid_sql_in_the_warehouse(
    warehouse: Warehouse,
) -> None:
    with warehouse.connect(autocommit=True) as session:
        for chart in _charts():
            if chart.only is not None:
                session.execute(f"select from mart.{chart.mart} where {chart.only}".encode())


def test_every_mart_that_analysts_read_is_on_a_chart() -> None:
    wanted = {mart.name for mart in marts()} - BUILDING_BLOCKS
    assert {chart.mart for chart in _charts()} == wanted


def _texts(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for value in part.values():
            yield from _texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from _texts(value)
    elif isinstance(part, str):
        yield part


def test_every_text_of_the_definition_is_a_pair() -> None:
    """Every Russian text has an English one next to it, and the other way round."""

    def outside_of_pairs(part: Any) -> Any:
        if isinstance(part, dict):
            if {"ru", "en"} & part.keys():
                assert part.keys() == {"ru", "en"}, part
                return None
            return {key: outside_of_pairs(value) for key, value in part.items()}
        return [outside_of_pairs(each) for each in part] if isinstance(part, list) else part

    for path in (dashboards_folder() / "definition").glob("*.yaml"):
        alone = list(_texts(outside_of_pairs(msgspec.yaml.decode(path.read_bytes()))))
        assert [text for text in alone if _CYRILLIC.search(text)] == [], path.name


def test_a_bundle_is_in_one_language(warehouse: Warehouse, bundle: dict[str, bytes]) -> None:
    english = bundle_of(warehouse, "en")
    assert [name for name, text in english.items() if _CYRILLIC.search(text.decode())] == []
    charts = _documents(bundle, "charts/")
    titles = [chart["slice_name"] for chart in charts]
    assert [title for title in titles if not _CYRILLIC.search(title)] == []
    assert [c["slice_name"] for c in charts if not _CYRILLIC.search(c["description"])] == []
    # The other language updates the same charts.
    assert english.keys() == bundle.keys()
    for name, text in english.items():
        one, other = (msgspec.yaml.decode(each) for each in (text, bundle[name]))
        assert one.get("uuid") == other.get("uuid"), name


def test_moments_are_shown_in_the_programmes_zone(warehouse: Warehouse) -> None:
    bundle = bundle_of(warehouse, "en", "Asia/Vladivostok")
    (dataset,) = [d for d in _documents(bundle, "datasets/") if d["table_name"] == "restatements"]
    sql = {metric["metric_name"]: metric["expression"] for metric in dataset["metrics"]}
    assert "at time zone 'Asia/Vladivostok'" in sql["last_restated"]


def test_superset_runs_in_the_programmes_zone_and_language(tmp_path: Path) -> None:
    """Superset computes the "today" of its filters in the time zone of its process."""
    home = SupersetHome(tmp_path, tmp_path, "en", "Asia/Vladivostok")
    assert home.environment()["TZ"] == "Asia/Vladivostok"
    assert home.environment()["SUPERSET_LANGUAGE"] == "en"


def test_several_tables_are_complete_through_the_first_day_of_any(warehouse: Warehouse) -> None:
    sql = DEFINITION.layer.marts["data_completeness"].metrics["through"].sql
    query = "select {} from (values {}) as mart (complete_through)"
    known, none = "('2026-03-02'::date), ('2026-03-01')", "('2026-03-02'::date), (null)"
    with warehouse.connect() as session:
        first = session.execute(query.format(sql, known).encode()).fetchone()
        unknown = session.execute(query.format(sql, none).encode()).fetchone()
    assert (first, unknown) == ((date(2026, 3, 1),), (None,))


@pytest.mark.parametrize(
    ("hit", "missed", "unknown", "shown", "why"),
    [
        (6, 2, 2, "75.0 %", "known for 8 of 10"),
        (0, 19, 218, "—", "known for 19 of 237; under half, hence the dash"),
        (0, 0, 0, "—", "no leads"),
    ],
)
def test_a_headline_is_a_dash_if_less_than_half_is_known(
    warehouse: Warehouse, hit: int, missed: int, unknown: int, shown: str, why: str
) -> None:
    english = read_definition(dashboards_folder() / "definition", "en").layer
    metrics = english.marts["leads_sla"].metrics
    columns = f"{metrics['taken_up_headline'].sql}, {metrics['taken_up_known'].sql}"
    columns = columns.replace("%", "%%")
    leads = ["hit"] * hit + ["missed"] * missed + ["unknown"] * unknown
    with warehouse.connect() as session:
        row = session.execute(
            f"select {columns} from unnest(%s::text[]) as mart (first_change_sla)".encode(),
            (leads,),
        ).fetchone()
    assert row == (shown, why)


def test_the_hours_to_confirm_are_weighted_by_confirmations_with_a_time(
    warehouse: Warehouse,
) -> None:
    sql = DEFINITION.layer.marts["favourite_uptake"].metrics["lag"].sql
    days = "(values (9, 1, 10.0), (1, 1, 20.0), (5, 0, null))"
    columns = "(confirmed, timed_confirmations, confirmation_lag_hours)"
    with warehouse.connect() as session:
        row = session.execute(f"select {sql} from {days} as mart {columns}".encode()).fetchone()
    assert row == (15,)


def test_weeks_are_labelled_by_their_monday_and_marked_until_their_sunday_is_known(
    warehouse: Warehouse,
) -> None:
    """Not only the running one: the sync of its last days may have failed."""
    sql = DEFINITION.layer.calculated["week"].expression
    # Grouped, as Superset does.
    grouped = (
        f"select {sql}, count(*) from (values ('2026-03-18'::date), ('2026-03-19'), ('2026-03-23'))"
        f" as m (day) group by {sql} order by 1"
    )
    shown = {}
    with warehouse.connect() as session:
        for last_day in ("2026-03-28", "2026-03-29"):
            session.execute(
                "insert into sync.runs (feed, window_from, window_to, status, finished_at)"
                " values ('operations', '2026-03-01', %s, 'published', now())",
                (last_day,),
            )
            shown[last_day] = session.execute(grouped.encode()).fetchall()
        session.rollback()
    assert shown == {
        "2026-03-28": [("2026-03-16", 2), ("2026-03-23*", 1)],
        "2026-03-29": [("2026-03-16", 2), ("2026-03-23", 1)],
    }


def test_a_month_is_marked_until_its_last_day_is_known(warehouse: Warehouse) -> None:
    """Not only the running one: on the 2nd, the sync of the last day may have failed."""
    sql = DEFINITION.layer.calculated["in_month"].expression
    with warehouse.connect() as session:
        rows = session.execute(
            f"select {sql} from (values ('2026-03-01'::date, true), ('2026-04-01', false))"
            " as m (month, is_whole_month)".encode()
        ).fetchall()
    assert [month for (month,) in rows] == ["2026-03", "2026-04*"]
    shown = {name for chart in _charts() for name in (chart.x, *chart.by, *chart.columns)}
    assert "in_month" in shown
    assert "month" not in shown
    monthly = {name for name, use in DEFINITION.layer.marts.items() if use.time == "month"}
    assert [c.name for c in _charts() if c.mart in monthly and c.x == "month"] == []


def test_no_chart_sums_up_balances_of_several_days_or_ages() -> None:
    """A sum over the days of a balance, or over the ages of a cohort, counts the same again."""
    marts_in_use, calculated = DEFINITION.layer.marts, DEFINITION.layer.calculated
    for chart in _charts():
        not_over = marts_in_use[chart.mart].not_over
        named = {name for name in (chart.x, *chart.by, *chart.columns) if name is not None}
        sources = {calculated[name].source if name in calculated else name for name in named}
        assert not_over is None or chart.of_last_day or not_over in sources, chart.title


def test_points_by_age_leave_out_the_age_that_is_not_over(warehouse: Warehouse) -> None:
    """Of each issue month, the newest age is only through the last day known."""
    (chart,) = [c for c in _charts() if c.mart == "points_vintage" and c.kind == "bar"]
    with warehouse.connect() as session:
        rows = session.execute(
            "select age_months from (values ('2026-01-01'::date, 0, '2026-01-31'::date),"
            " ('2026-01-01', 1, '2026-02-28'), ('2026-01-01', 2, '2026-03-10'))"
            f" as vintage (issue_month, age_months, as_of_date) where {chart.only}".encode()
        ).fetchall()
    assert rows == [(0,), (1,)]


def test_stores_can_be_chosen_where_there_are_stores(bundle: dict[str, bytes]) -> None:
    chosen = {
        document["slug"]: [
            target["column"]["name"]
            for part in document["metadata"]["native_filter_configuration"]
            for target in part["targets"]
            if target
        ]
        for document in _documents(bundle, "dashboards/")
    }
    assert chosen["lcm-programme"] == ["partner", "store"]
    assert "store" in chosen["lcm-points"]
    assert "store" in chosen["lcm-customers"]


def test_a_list_is_paged_and_not_cut(bundle: dict[str, bytes]) -> None:
    """Superset warns about partial results when a list is cut by its limit."""
    for chart in _documents(bundle, "charts/"):
        limit = chart["params"].get("row_limit", 10_000)
        assert limit >= 10_000 or chart["params"].get("server_pagination"), chart["slice_name"]


def test_the_only_point_of_a_first_month_or_week_is_visible(bundle: dict[str, bytes]) -> None:
    """A line of one point is nothing without its marker; only lines of days have many points."""
    lines = [
        chart["params"]
        for chart in _documents(bundle, "charts")
        if chart["viz_type"] == "echarts_timeseries_line"
    ]
    by_day = [params.get("time_grain_sqla") == "P1D" for params in lines]
    assert True in by_day
    assert [params["markerEnabled"] for params in lines] == [not is_day for is_day in by_day]


def test_every_dashboard_begins_with_completeness_and_restatements(
    bundle: dict[str, bytes],
) -> None:
    strip = {chart.mart for row in DEFINITION.strip for chart in row.charts}
    assert strip == {"data_completeness", "restatements"}
    for document in _documents(bundle, "dashboards/"):
        position = document["position"]
        first = position[position["GRID_ID"]["children"][0]]["children"]
        titles = [position[name]["meta"]["sliceName"] for name in first]
        assert titles == [chart.title for chart in DEFINITION.strip[0].charts]


def test_every_row_fills_the_page_and_every_dashboard_has_a_filter_of_time(
    bundle: dict[str, bytes],
) -> None:
    for page in DEFINITION.dashboards:
        for row in (*DEFINITION.strip, *page.rows):
            assert sum(chart.width for chart in row.charts) == 12, row.charts[0].title
    for document in _documents(bundle, "dashboards/"):
        kinds = {part["filterType"] for part in document["metadata"]["native_filter_configuration"]}
        assert "filter_time" in kinds


def test_balances_and_counts_of_clients_are_not_summed_up() -> None:
    """Balances that are reported for each day or month are never added over time."""
    stocks = re.compile(
        r"sum\((members|active_balance|pending_balance|active|buyers|clients|opening|closing"
        r"|slots\w*|source_total|loaded_total|quarantined_total|pending_clients)\)"
    )
    additive_across = {("activity_monthly", "members")}
    for name, use in DEFINITION.layer.marts.items():
        for key, metric in use.metrics.items():
            if stocks.fullmatch(metric.sql):
                assert (name, key) in additive_across, f"{name}.{key}: {metric.sql}"


def test_no_personal_column_is_in_the_bundle(
    bundle: dict[str, bytes], warehouse: Warehouse
) -> None:
    text = b"".join(bundle.values())
    with warehouse.connect() as session:
        rows = session.execute(
            "select column_name from information_schema.columns"
            " where table_schema = 'core' and table_name = 'clients'"
            " and column_name in ('surname', 'patronymic', 'phone', 'email', 'birthdate')"
        ).fetchall()
    assert rows
    assert [name for (name,) in rows if f"column_name: {name}".encode() in text] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mart": "no_such_mart"}, "no mart no_such_mart"),
        ({"metrics": ("no_such_metric",)}, "no such metric"),
        ({"by": ("no_such_column",)}, "no such column"),
        ({"alarms": {"rows": "around 3"}}, "'around 3' is not an alarm"),
    ],
)
def test_a_wrong_definition_is_refused_by_name(
    warehouse: Warehouse, change: dict[str, Any], message: str
) -> None:
    chart = Chart(
        title="Т", name="T", mart="restatements", kind="table", width=12, metrics=("rows",)
    )
    row = replace_struct(DEFINITION.strip[0], charts=(replace_struct(chart, **change),))
    with pytest.raises(DefinitionError, match=message):
        build_bundle(
            Definition(DEFINITION.layer, (row,), DEFINITION.dashboards),
            marts_of(describe(warehouse)),
        )


def replace_struct(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **changes)


def test_a_typing_error_in_a_file_is_reported_with_its_position(tmp_path: Path) -> None:
    for path in (dashboards_folder() / "definition").glob("*.yaml"):
        (tmp_path / path.name).write_bytes(path.read_bytes().replace(b"kind: area", b"kind: aera"))
    with pytest.raises(DefinitionError, match=r"1_programme.yaml: Invalid enum value 'aera'"):
        read_definition(tmp_path)


def test_equal_bundles_make_equal_zips(bundle: dict[str, bytes], tmp_path: Path) -> None:
    write_zip(tmp_path / "one.zip", bundle)
    write_zip(tmp_path / "two.zip", dict(reversed(bundle.items())))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_new_bundle_leaves_nothing_of_an_earlier_one(
    bundle: dict[str, bytes], tmp_path: Path
) -> None:
    write_bundle(tmp_path / "bundle", bundle | {"charts/gone.yaml": b"slice_name: Gone"})
    write_bundle(tmp_path / "bundle", bundle)
    assert not (tmp_path / "bundle" / "charts" / "gone.yaml").exists()


def test_a_bundle_that_cannot_be_written_leaves_the_earlier_one(
    bundle: dict[str, bytes], tmp_path: Path
) -> None:
    folder, archive = tmp_path / "bundle", tmp_path / "bundle.zip"
    write_bundle(folder, bundle)
    write_zip(archive, bundle)
    before = archive.read_bytes()
    # What cannot be written stands for a disk that is full after the first file.
    with pytest.raises(OSError, match="name too long"):
        write_bundle(folder, {"charts/a.yaml": b"", "x" * 300: b"", **bundle})
    with pytest.raises(TypeError):
        write_zip(archive, bundle | {"charts/a.yaml": cast(bytes, None)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "bundle.zip"]
    assert archive.read_bytes() == before
    write_bundle(folder, bundle)
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written == set(bundle)


def test_a_folder_with_other_contents_is_left_unchanged(
    bundle: dict[str, bytes], tmp_path: Path
) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("not a bundle")
    for path in (tmp_path, thesis):
        with pytest.raises(BundleFolderError, match="--output"):
            write_bundle(path, bundle)
    assert thesis.read_text() == "not a bundle"


def test_lcm_bundle_refuses_a_folder_with_other_contents_in_one_line(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("not a bundle")
    done = _lcm_bundle(warehouse, tmp_path, "--output", str(tmp_path))
    assert done.returncode == 2, done.stderr
    assert "holds something other than a bundle" in done.stderr
    assert "Traceback" not in done.stderr
