"""The bundle that Superset imports: one YAML document per database, dataset, chart and dashboard.

It is built from the definition and the columns of the marts, and is reproducible: ids are derived
from names, so that importing it again updates the earlier one. It is not under version control;
build it from the warehouse that it is to show.
"""

import re
from collections.abc import Mapping
from uuid import NAMESPACE_URL, uuid5

import msgspec

from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.settings import DEFAULT_TIMEZONE
from lcm_pipeline.superset.charts import params_of
from lcm_pipeline.superset.datasets import DescribedMart, Document, dataset_of, marts_of
from lcm_pipeline.superset.definition import (
    Chart,
    Dashboard,
    Definition,
    DefinitionError,
    SemanticLayer,
    dashboards_folder,
    read_definition,
)
from lcm_pipeline.superset.pages import Dataset, PlacedChart, PlacedRow, page_of
from lcm_pipeline.warehouse.access.dictionary import describe
from lcm_pipeline.warehouse.connection import Warehouse

DATABASE_FILE = "databases/loyalty_warehouse.yaml"
_DATABASE = "Loyalty warehouse"
_PLACEHOLDER = "postgresql+psycopg2://superset:XXXXXXXXXX@localhost:5432/loyalty"
_VERSION = "1.0.0"
_NAMESPACE = uuid5(NAMESPACE_URL, "lcm_pipeline/dashboards")
_METADATA = {"version": _VERSION, "type": "Dashboard", "timestamp": "2026-01-01T00:00:00+00:00"}
_CSS = """\
.dashboard-component-chart-holder .header-title { font-size: 14px; line-height: 1.3; }
"""
# Superset's "big number" cannot show a dash, so a headline is a table of one row without a header.
_HEADLINE_CSS = """\
[data-test-chart-name="{title}"] th {{ padding: 0 !important; height: 0; border: 0; }}
[data-test-chart-name="{title}"] th * {{ font-size: 0; line-height: 0; height: 0; }}
[data-test-chart-name="{title}"] td:first-child {{ font-size: 26px; white-space: nowrap; }}
[data-test-chart-name="{title}"] td {{ white-space: normal; border: 0; background: none; }}
"""


def bundle_of(
    warehouse: Warehouse,
    language: Language = DEFAULT_LANGUAGE,
    timezone: str = DEFAULT_TIMEZONE,
) -> dict[str, bytes]:
    """Build the files of the bundle by path, from dashboards/definition and a warehouse's marts.

    Texts are in `language`, timestamps in `timezone`.
    """
    definition = read_definition(dashboards_folder() / "definition", language, timezone)
    return build_bundle(definition, marts_of(describe(warehouse), language))


def build_bundle(definition: Definition, marts: Mapping[str, DescribedMart]) -> dict[str, bytes]:
    """Build the files of the bundle by path. `marts` are those of the database, by name.

    Raises DefinitionError when a chart names a mart, a column or a metric that does not exist.
    """
    charts = _charts_by_key(definition)
    for key, chart in charts.items():
        _check_names(key, chart, definition.layer, marts)
    used = sorted({chart.mart for chart in charts.values()})
    documents: dict[str, Document] = {"metadata.yaml": _METADATA, DATABASE_FILE: _database()}
    for name in used:
        documents[f"datasets/{name}.yaml"] = {
            **dataset_of(name, definition.layer, marts[name]),
            "uuid": uuid_of("dataset", name),
            "version": _VERSION,
            "database_uuid": uuid_of("database", _DATABASE),
        }
    for key, chart in charts.items():
        about = marts[chart.mart].comment
        file_name = "_".join(re.findall("[A-Za-z0-9]+", key))
        documents[f"charts/{file_name}.yaml"] = _chart(key, chart, definition.layer, about)
    placed = {
        key: PlacedChart(chart, number, uuid_of("chart", key))
        for number, (key, chart) in enumerate(charts.items(), start=1)
    }
    datasets = {
        name: Dataset(
            uuid_of("dataset", name), frozenset(each.column for each in marts[name].columns)
        )
        for name in used
    }
    for dashboard in definition.dashboards:
        documents[f"dashboards/{dashboard.slug}.yaml"] = _dashboard(
            dashboard, definition, placed, datasets
        )
    return {path: msgspec.yaml.encode(document) for path, document in documents.items()}


def _charts_by_key(definition: Definition) -> dict[str, Chart]:
    """Every chart by its key; raises DefinitionError if two have the same key."""
    pages = [("", definition.strip), *((each.slug, each.rows) for each in definition.dashboards)]
    charts: dict[str, Chart] = {}
    for slug, rows in pages:
        for chart in (chart for row in rows for chart in row.charts):
            key = _chart_key(slug, chart)
            if key in charts:
                raise DefinitionError(f"{key}: two charts have the same kind, mart and title")
            charts[key] = chart
    return charts


def uuid_of(kind: str, name: str) -> str:
    """The UUID of a database, dataset, chart or dashboard: the same on every machine."""
    return str(uuid5(_NAMESPACE, f"{kind}/{name}"))


def _database() -> Document:
    return {
        "database_name": _DATABASE,
        "sqlalchemy_uri": _PLACEHOLDER,
        "cache_timeout": None,
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "allow_csv_upload": False,
        "extra": {"allows_virtual_table_explore": True, "engine_params": {}},
        "uuid": uuid_of("database", _DATABASE),
        "version": _VERSION,
    }


def _chart(key: str, chart: Chart, layer: SemanticLayer, comment: str) -> Document:
    params = params_of(chart, layer)
    return {
        "slice_name": chart.title,
        "description": f"{chart.about or ''}\n\nmart.{chart.mart}: {comment}.".strip(),
        "viz_type": params["viz_type"],
        "params": params,
        "query_context": None,
        "cache_timeout": None,
        "uuid": uuid_of("chart", key),
        "version": _VERSION,
        "dataset_uuid": uuid_of("dataset", chart.mart),
    }


def _dashboard(
    dashboard: Dashboard,
    definition: Definition,
    placed: Mapping[str, PlacedChart],
    datasets: Mapping[str, Dataset],
) -> Document:
    rows = [
        PlacedRow(row.height, tuple(placed[_chart_key(prefix, chart)] for chart in row.charts))
        for prefix, some in (("", definition.strip), (dashboard.slug, dashboard.rows))
        for row in some
    ]
    return {
        "dashboard_title": dashboard.title,
        "description": dashboard.about,
        "slug": dashboard.slug,
        "css": _CSS
        + "".join(
            _HEADLINE_CSS.format(title=each.chart.title)
            for row in rows
            for each in row.charts
            if each.chart.kind == "headline"
        ),
        "published": True,
        "uuid": uuid_of("dashboard", dashboard.slug),
        "version": _VERSION,
        **page_of(dashboard, rows, definition.layer, datasets),
    }


def _chart_key(prefix: str, chart: Chart) -> str:
    """The key of a chart: dashboard (none for the shared strip), kind, mart and English title."""
    return "/".join(filter(None, (prefix, chart.kind, chart.mart, chart.name.lower())))


def _check_names(
    key: str, chart: Chart, layer: SemanticLayer, found: Mapping[str, DescribedMart]
) -> None:
    """Raise DefinitionError if the definition or the mart lacks a name that the chart uses."""
    if chart.mart not in found or chart.mart not in layer.marts:
        raise DefinitionError(
            f"{key}: there is no mart {chart.mart} (in an older warehouse: run lcm migrate), or"
            " marts.yaml has none"
        )
    use, columns = layer.marts[chart.mart], {column.column for column in found[chart.mart].columns}
    known = {name for name, made in layer.calculated.items() if made.source in columns}
    known |= columns & layer.labels.keys() | ({use.time} if use.time else set())
    if missing := {*chart.columns, *chart.by, *filter(None, [chart.x])} - known:
        raise DefinitionError(
            f"{key}: no such column (in an older warehouse: run lcm migrate), or it has no label:"
            f" {sorted(missing)}"
        )
    if missing := {*chart.metrics, *chart.alarms} - use.metrics.keys():
        raise DefinitionError(f"{key}: no such metric: {sorted(missing)}")
