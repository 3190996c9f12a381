"""A mart as a Superset dataset: its columns, its calculated columns and its metrics."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.superset.definition import SemanticLayer
from lcm_pipeline.superset.formats import FORMATS, sql_of
from lcm_pipeline.warehouse.access.dictionary import DescribedColumn, russian_definitions

Document = dict[str, Any]

_TIMES = ("date", "timestamp with time zone")


class DescribedMart(NamedTuple):
    """A mart, as the database describes it."""

    comment: str
    columns: tuple[DescribedColumn, ...]


def marts_of(
    columns: Iterable[DescribedColumn], language: Language = DEFAULT_LANGUAGE
) -> dict[str, DescribedMart]:
    """The marts by name, from the description of the whole warehouse.

    Descriptions are in the language, or else the comment in the database.
    """
    known = russian_definitions() if language == "ru" else {}
    found: dict[str, DescribedMart] = {}
    for column in columns:
        if column.schema == "mart":
            about = known.get(column.table, column.table_comment)
            mart = found.get(column.table, DescribedMart(about, ()))
            comment = known.get(f"{column.table}.{column.column}", column.comment)
            added = column._replace(comment=comment)
            found[column.table] = mart._replace(columns=(*mart.columns, added))
    return found


def dataset_of(name: str, layer: SemanticLayer, mart: DescribedMart) -> Document:
    """A dataset without its ids: its metrics and columns, with their titles."""
    use = layer.marts[name]
    return {
        "table_name": name,
        "main_dttm_col": use.time,
        "description": mart.comment,
        "schema": "mart",
        "sql": None,
        "filter_select_enabled": True,
        "normalize_columns": False,
        "always_filter_main_dttm": False,
        "metrics": [
            {
                "metric_name": key,
                "verbose_name": metric.title,
                "expression": sql_of(metric, layer),
                "d3format": FORMATS[metric.format] or None,
            }
            for key, metric in use.metrics.items()
        ],
        "columns": list(_columns(mart, layer)),
    }


def _columns(mart: DescribedMart, layer: SemanticLayer) -> Iterator[Document]:
    """The columns of the mart, then the calculated ones whose source is among them."""
    for column in mart.columns:
        label = layer.label(column.column)
        yield {
            "column_name": column.column,
            "verbose_name": label.title if label else None,
            "is_dttm": column.type in _TIMES,
            "is_active": True,
            "type": column.type.upper(),
            "groupby": True,
            "filterable": True,
            "expression": None,
            "description": column.comment,
        }
    present = {column.column for column in mart.columns}
    for name, calculated in layer.calculated.items():
        if calculated.source in present:
            yield {
                "column_name": name,
                "verbose_name": calculated.title,
                "is_dttm": False,
                "is_active": True,
                "type": "TEXT",
                "groupby": True,
                "filterable": True,
                "expression": calculated.expression,
                "description": f"{calculated.source}, as charts show it",
            }
