"""Tables: metrics by columns, or rows as they are, with alarms on what should not be."""

import json

from lcm_pipeline.superset.definition import Chart, DefinitionError, Marts
from lcm_pipeline.superset.formats import FORMATS, GRAINS, Params

_RED, _AMBER = "#E04355", "#FCC700"
_TEXT_WIDTH = 190
_ALARMS = {"below": "<", "above": ">", "other than": "≠", "notice": ">"}


def table(chart: Chart, marts: Marts) -> Params:
    """Metrics by columns."""
    params = _any_table(chart) | {
        "query_mode": "aggregate",
        "groupby": list(chart.by),
        "metrics": list(chart.metrics),
        "time_grain_sqla": GRAINS["day"],
        "conditional_formatting": [_alarm(*each) for each in chart.alarms.items()],
        "column_config": {
            name: {"columnWidth": _TEXT_WIDTH if len(chart.by) == 1 else _TEXT_WIDTH - 30}
            for name in chart.by
            if name in marts.calculated
        },
    }
    if chart.order is not None:
        name = chart.order.removeprefix("-")
        params |= {
            "timeseries_limit_metric": name if name in chart.metrics else _sorting(name, marts),
            "order_desc": chart.order.startswith("-"),
        }
    return params


def rows(chart: Chart, marts: Marts) -> Params:
    """Rows of the mart as they are."""
    orders = (chart.order or "").split()
    return _any_table(chart) | {
        "query_mode": "raw",
        "all_columns": list(chart.columns),
        "order_by_cols": [
            json.dumps([name.removeprefix("-"), not name.startswith("-")]) for name in orders
        ],
        "column_config": {
            name: {"d3NumberFormat": FORMATS[label.format] or "d"}
            for name in chart.columns
            if (label := marts.label(name)) is not None
        },
    }


def _any_table(chart: Chart) -> Params:
    return {
        "row_limit": chart.limit,
        "table_timestamp_format": "%Y-%m-%d",
        "show_cell_bars": False,
        "include_search": chart.limit <= 1000,
        "page_length": 0,
        "allow_rearrange_columns": False,
        "show_totals": False,
        "percent_metrics": [],
        "color_pn": False,
    }


def _sorting(column: str, marts: Marts) -> Params:
    """A number or text to order groups by: all rows of a group have the same."""
    calculated = marts.calculated.get(column)
    expression = f"min({calculated.sql if calculated else column})"
    return {"expressionType": "SQL", "sqlExpression": expression, "label": f"order by {column}"}


def _alarm(metric: str, condition: str) -> Params:
    words, _, limit = condition.rpartition(" ")
    if words not in _ALARMS:
        raise DefinitionError(f"{condition!r} is no alarm: expected one of {', '.join(_ALARMS)}")
    return {
        "column": metric,
        "operator": _ALARMS[words],
        "targetValue": float(limit),
        "colorScheme": _AMBER if words == "notice" else _RED,
    }
