"""Tables of metrics, tables of rows and heat maps, with alarms on values that should not occur."""

import json

from lcm_pipeline.superset.definition import Chart, DefinitionError, SemanticLayer
from lcm_pipeline.superset.formats import DAYS, FORMATS, GRAINS, Params, format_of

_RED, _AMBER, _BLUE = "#E04355", "#FCC700", "#1FA8C9"
_TEXT_WIDTH = 160
_ALARMS = {"below": "<", "above": ">", "other than": "≠", "notice": ">"}


def table(chart: Chart, layer: SemanticLayer) -> Params:
    """The parameters of a table of metrics by columns."""
    params = _common_params(chart, layer) | {
        "query_mode": "aggregate",
        "groupby": list(chart.by),
        "metrics": list(chart.metrics),
        "time_grain_sqla": GRAINS["day"],
        "conditional_formatting": [
            _alarm_format(metric, condition) for metric, condition in chart.alarms.items()
        ],
        "column_config": {
            name: {
                "columnWidth": _TEXT_WIDTH
                if len(chart.by) == 1 and len(chart.metrics) < 7
                else _TEXT_WIDTH - 40
            }
            for name in chart.by
            if name in layer.calculated
        },
    }
    if chart.order is not None:
        name = chart.order.removeprefix("-")
        metric: str | Params = name
        if name not in chart.metrics:
            # Of a column, min(): all rows of a group have the same value.
            calculated = layer.calculated.get(name)
            metric = {
                "expressionType": "SQL",
                "sqlExpression": f"min({calculated.expression if calculated else name})",
                "label": f"order by {name}",
            }
        params |= {
            "timeseries_limit_metric": metric,
            "order_desc": chart.order.startswith("-"),
        }
    return params


def rows(chart: Chart, layer: SemanticLayer) -> Params:
    """The parameters of a table of the mart's rows."""
    orders = (chart.order or "").split()
    return _common_params(chart, layer) | {
        "query_mode": "raw",
        "all_columns": list(chart.columns),
        "order_by_cols": [
            json.dumps([name.removeprefix("-"), not name.startswith("-")]) for name in orders
        ],
        "column_config": {
            name: {"d3NumberFormat": FORMATS[label.format] or "d"}
            for name in chart.columns
            if (label := layer.label(name)) is not None
        },
    }


def heatmap(chart: Chart, layer: SemanticLayer) -> Params:
    """The parameters of a pivot table with shaded cells: one metric by two columns.

    Superset's own heat map has no axis titles, and its labels of years overlap.
    """
    return {
        "groupbyRows": [_titled_column(chart.by[0], layer)],
        "groupbyColumns": [_titled_column(chart.x or "", layer)],
        "metrics": list(chart.metrics),
        "metricsLayout": "COLUMNS",
        "aggregateFunction": "Sum",
        "valueFormat": format_of(chart, layer).replace(".1%", ".0%"),
        "rowTotals": False,
        "colTotals": False,
        # The best score is at the top, the first month too.
        "rowOrder": "key_z_to_a" if chart.by[0].endswith("_score") else "key_a_to_z",
        "colOrder": "key_a_to_z",
        "row_limit": chart.limit,
        "series_limit": 0,
        "conditional_formatting": [
            {"column": chart.metrics[0], "operator": "None", "colorScheme": _BLUE}
        ],
    }


def _common_params(chart: Chart, layer: SemanticLayer) -> Params:
    return {
        "row_limit": chart.limit,
        "table_timestamp_format": DAYS[layer.language],
        "show_cell_bars": False,
        "include_search": chart.limit <= 1000 and not chart.page,
        # Superset warns when the row limit cuts a table; one with pages holds all rows.
        "page_length": chart.page,
        "server_pagination": chart.page > 0,
        "server_page_length": chart.page or 10,
        "allow_rearrange_columns": False,
        "show_totals": False,
        "percent_metrics": [],
        "color_pn": False,
    }


def _titled_column(column: str, layer: SemanticLayer) -> Params:
    """A column as an expression with a title: pivot tables show plain columns by their names."""
    calculated = layer.calculated.get(column)
    return {
        "expressionType": "SQL",
        "label": layer.title_of(column),
        "sqlExpression": calculated.expression if calculated else column,
    }


def _alarm_format(metric: str, condition: str) -> Params:
    words, _, limit = condition.rpartition(" ")
    if words not in _ALARMS:
        raise DefinitionError(
            f"{condition!r} is not an alarm: expected one of {', '.join(_ALARMS)}"
        )
    return {
        "column": metric,
        "operator": _ALARMS[words],
        "targetValue": float(limit),
        "colorScheme": _AMBER if words == "notice" else _RED,
    }
