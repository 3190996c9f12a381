"""Generates the sources, metrics and exposures of the dbt package in `dbt/`.

Sources come from the database: tables, columns, comments, keys. Metrics and exposures come from the
definition of the dashboards. The files that are written by hand in `dbt/` (the project, the macros,
the example) repeat none of these.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.superset.datasets import Document
from lcm_pipeline.superset.definition import Definition, Metric, dashboards_folder, read_definition
from lcm_pipeline.warehouse.access.dictionary import DescribedColumn, describe
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from lcm_pipeline.warehouse.queries import query

_SCHEMAS = ("core", "core_live", "history", "mart")
_HEAD = (
    "# Made by `lcm dbt`: edit the comments in sql/ or dashboards/definition, then run it again.\n"
)
_FRESHNESS = {
    "warn_after": {"count": 36, "period": "hour"},
    "error_after": {"count": 7, "period": "day"},
}
_LATEST = re.compile(
    r"\(array_agg\((\w+) order by (\w+) desc\)( filter \(where \1 is not null\))?\)\[1\]"
)
_AGGREGATE = re.compile(r"(sum|avg|min|max)\((.+)\)")
_NULLIF = re.compile(r"nullif\((.+), 0\)")
_AGGREGATIONS = {"sum": "sum", "avg": "average", "min": "min", "max": "max"}


class TableKey(NamedTuple):
    """The key columns of a table, and its columns that are not null."""

    schema: str
    table: str
    columns: list[str]
    required: list[str]


def package_of(warehouse: Warehouse) -> dict[str, str]:
    """Generate the files of the package by path, from a migrated warehouse and the definition."""
    with warehouse.connect(application_name="lcm dbt") as session:
        rows = session.execute(query("table_keys")).fetchall()
    keys = {(key.schema, key.table): key for key in map(TableKey._make, rows)}
    # The package is in English, as are the comments in the database.
    definition = read_definition(dashboards_folder() / "definition", "en")
    return {
        "models/sources.yml": _yaml(_sources(describe(warehouse), keys)),
        "models/exposures.yml": _yaml(_exposures(definition)),
        "models/metrics/metrics.yml": _yaml(_metrics(definition)),
        "macros/metric_expressions.sql": _expressions_macro(definition),
        **{
            f"models/metrics/{name}.sql": "{# Made by `lcm dbt`: metrics need a model. #}\n"
            f"select * from {{{{ source('mart', '{name}') }}}}\n"
            for name, _ in _marts_with_time(definition)
        },
    }


def write_package(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files, and remove generated models that no longer exist."""
    for path in (folder / "models" / "metrics").glob("*.sql"):
        if f"models/metrics/{path.name}" not in files:
            path.unlink()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _sources(
    described: Iterable[DescribedColumn], keys: Mapping[tuple[str, str], TableKey]
) -> Document:
    wanted = [column for column in described if column.schema in _SCHEMAS]
    sources = []
    for (schema, about), columns in groupby(wanted, lambda column: column[:2]):
        tables = [
            _table(list(found), keys[schema, table])
            for table, found in groupby(columns, lambda column: column.table)
        ]
        sources.append({"name": schema, "schema": schema, "description": about, "tables": tables})
    return {"version": 2, "sources": sources}


def _table(columns: list[DescribedColumn], key: TableKey) -> Document:
    first = columns[0]
    table: Document = {"name": first.table, "description": first.table_comment}
    table |= _freshness(first)
    if key.columns:
        table["data_tests"] = [{"unique_key": {"arguments": {"columns": key.columns}}}]
    table["columns"] = [
        {
            "name": column.column,
            "description": column.comment,
            "data_type": column.type,
            **({"data_tests": ["not_null"]} if column.column in key.required else {}),
        }
        for column in columns
    ]
    return table


def _freshness(table: DescribedColumn) -> Document:
    """When the newest day was read, or the mart refreshed: rows may be few, or none for months.

    A query, as dbt finds no time in a column of a table without rows, and fails.
    """
    # Those that a refresh fills; plain views are as new as what they read.
    stored_marts = {mart.name for mart in marts() if mart.kind != "view"}
    # dbt runs this SQL; the names come from the catalogue of the database.
    if table.schema == "core":
        feed = next(feed.name for feed in FEEDS if table.table in feed.all_tables)
        moment, source = "known_at", f"mart.readings where feed = '{feed}'"
    elif table.schema == "mart" and table.table in stored_marts:
        moment, source = "refreshed_at", f"mart.refreshes where mart_name = '{table.table}'"
    else:
        return {}
    loaded = f"select max({moment}) from {source}"  # noqa: S608
    return {"config": {"freshness": _FRESHNESS, "loaded_at_query": loaded}}


def _exposures(definition: Definition) -> Document:
    exposures = []
    for dashboard in definition.dashboards:
        charts = [chart for row in (*definition.strip, *dashboard.rows) for chart in row.charts]
        exposures.append(
            {
                "name": re.sub(r"\W", "_", dashboard.slug),
                "label": dashboard.title,
                "type": "dashboard",
                "description": dashboard.about,
                "owner": {"name": "lcm_pipeline"},
                "depends_on": [
                    f"source('mart', '{name}')" for name in sorted({c.mart for c in charts})
                ],
            }
        )
    return {"version": 2, "exposures": exposures}


def _marts_with_time(definition: Definition) -> list[tuple[str, str]]:
    """The marts that have metrics and a column of time, with that column."""
    return [
        (name, use.time)
        for name, use in definition.layer.marts.items()
        if use.time is not None and use.metrics
    ]


def _metrics(definition: Definition) -> Document:
    """Semantic models and metrics, of the expressions that MetricFlow supports.

    All other metrics exist only as expressions of the macro `metric`.
    """
    models: list[Document] = []
    metrics: list[Document] = []
    for mart, time in _marts_with_time(definition):
        measures: dict[str, Document] = {}
        use = definition.layer.marts[mart]
        # Time is the only dimension here: over ages, a metric would count members again and again.
        is_summed_by_time = use.not_over in (None, time)
        for name, metric in use.metrics.items() if is_summed_by_time else ():
            metrics += _metric(mart, name, metric, time, measures)
        if use.not_over == time:
            for measure in measures.values():
                measure["non_additive_dimension"] = _last_value(time)
        # By day or week, MetricFlow would show all of a month in its first one.
        granularity = "month" if use.is_monthly else "day"
        if measures:
            models.append(
                {
                    "name": mart,
                    "model": f"ref('{mart}')",
                    # `day` and `month` are reserved words of MetricFlow.
                    "defaults": {"agg_time_dimension": f"of_{time}"},
                    "primary_entity": f"{mart}_row",
                    "dimensions": [
                        {
                            "name": f"of_{time}",
                            "expr": time,
                            "type": "time",
                            "type_params": {"time_granularity": granularity},
                        }
                    ],
                    "measures": list(measures.values()),
                }
            )
    spine = {
        "name": "days",
        "description": "Days for the metrics, of mart.dim_calendar",
        "time_spine": {"standard_granularity_column": "day"},
        "columns": [{"name": "day", "description": "the day", "granularity": "day"}],
    }
    return {"version": 2, "models": [spine], "semantic_models": models, "metrics": metrics}


def _metric(
    mart: str, key: str, metric: Metric, time: str, measures: dict[str, Document]
) -> list[Document]:
    """The metric, preceded by its parts if it is a ratio; empty if MetricFlow cannot express it."""
    # Names and labels have to be unique in the whole project.
    name, title = f"{mart}_{key}", f"{metric.title} ({mart}.{key})"
    parts = metric.sql.split(" / ")
    found = [_measure(part, time) for part in parts]
    supported = [measure for measure in found if measure is not None]
    if len(supported) != len(found) or len(found) > 2:
        return []
    if len(supported) == 1:
        measures[name] = {"name": name, **supported[0]}
        return [_simple_metric(name, title)]
    names = [f"{name}_numerator", f"{name}_denominator"]
    for each, measure in zip(names, supported, strict=True):
        measures[each] = {"name": each, **measure}
    ratio = {
        "name": name,
        "label": title,
        "description": metric.sql,
        "type": "ratio",
        "type_params": {"numerator": names[0], "denominator": names[1]},
    }
    return [*(_simple_metric(each, f"{title}: {each}") for each in names), ratio]


def _simple_metric(name: str, title: str) -> Document:
    return {
        "name": name,
        "label": title,
        "description": title,
        "type": "simple",
        "type_params": {"measure": name},
    }


def _measure(sql: str, time: str) -> Document | None:
    """An aggregate as a MetricFlow measure; None if it has none. A balance is of the last day."""
    text = divisor[1] if (divisor := _NULLIF.fullmatch(sql)) else sql
    if text == "count(*)":
        return {"agg": "sum", "expr": "1"}
    if (latest := _LATEST.fullmatch(text)) and latest[2] == time:
        return {
            "agg": "sum",
            "expr": latest[1],
            "non_additive_dimension": _last_value(time),
        }
    aggregate = _AGGREGATE.fullmatch(text)
    if aggregate is None or re.search(r"[()]", aggregate[2]):
        return None
    return {"agg": _AGGREGATIONS[aggregate[1]], "expr": aggregate[2]}


def _last_value(time: str) -> Document:
    """For balances: of a period, MetricFlow takes the rows of its last day or month."""
    return {"name": f"of_{time}", "window_choice": "max"}


def _expressions_macro(definition: Definition) -> str:
    """A macro that returns the SQL of every metric, by mart and name."""
    expressions = {
        mart: {name: metric.sql for name, metric in use.metrics.items()}
        for mart, use in definition.layer.marts.items()
        if use.metrics
    }
    text = msgspec.json.format(msgspec.json.encode(expressions), indent=4).decode()
    return (
        "{# Made by `lcm dbt` from dashboards/definition/marts.yaml. #}\n"
        f"{{% macro metric_expressions() %}}\n{{{{ return({text}) }}}}\n{{% endmacro %}}\n"
    )


def _yaml(document: Document) -> str:
    return _HEAD + msgspec.yaml.encode(document).decode()
