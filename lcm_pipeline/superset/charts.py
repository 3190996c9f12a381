"""Translates a chart of the definition into Superset's parameters, one function per kind.

The number above a trend is computed by a query over the whole period (`aggregation: raw`), so that
a ratio or an average is never summed up from its days.
"""

from collections.abc import Callable

from lcm_pipeline.superset.definition import Chart, SemanticLayer
from lcm_pipeline.superset.formats import DAYS, GRAINS, MONTH, Params, format_of
from lcm_pipeline.superset.series import series
from lcm_pipeline.superset.tables import heatmap, rows, table


def params_of(chart: Chart, layer: SemanticLayer) -> Params:
    """The parameters that Superset stores of a chart, except its title and its dataset."""
    filters: list[Params] = []
    time = layer.marts[chart.mart].time
    if time is not None and not chart.whenever:
        filters.append(
            {
                "clause": "WHERE",
                "comparator": "No filter",
                "expressionType": "SIMPLE",
                "operator": "TEMPORAL_RANGE",
                "subject": time,
            }
        )
    if chart.only is not None:
        filters.append({"clause": "WHERE", "expressionType": "SQL", "sqlExpression": chart.only})
    viz_type, translate = _KINDS[chart.kind]
    return {
        "viz_type": viz_type,
        "adhoc_filters": filters,
        "extra_form_data": {},
        **translate(chart, layer),
    }


def _number(chart: Chart, layer: SemanticLayer) -> Params:
    return {
        "metric": chart.metrics[0],
        "y_axis_format": format_of(chart, layer),
        "header_font_size": 0.4,
        "subtitle_font_size": 0.15,
        "subtitle": chart.note or "",
    }


def _trend(chart: Chart, layer: SemanticLayer) -> Params:
    use = layer.marts[chart.mart]
    return _number(chart, layer) | {
        "x_axis": use.time,
        "time_grain_sqla": GRAINS["month" if use.is_monthly else "day"],
        "aggregation": "LAST_VALUE" if chart.of_last_day else "raw",
        "show_trend_line": True,
        "start_y_axis_at_zero": True,
        "time_format": MONTH if use.is_monthly else DAYS[layer.language],
        "rolling_type": "None",
    }


# Superset's name for each kind of chart, and what translates its parameters.
_KINDS: dict[str, tuple[str, Callable[[Chart, SemanticLayer], Params]]] = {
    "trend": ("big_number", _trend),
    "number": ("big_number_total", _number),
    "line": ("echarts_timeseries_line", series),
    "bar": ("echarts_timeseries_bar", series),
    "area": ("echarts_area", series),
    "headline": ("table", table),
    "heatmap": ("pivot_table_v2", heatmap),
    "table": ("table", table),
    "rows": ("table", rows),
}
