"""Line, bar and area charts, over time or over categories."""

from lcm_pipeline.superset.definition import Chart, SemanticLayer
from lcm_pipeline.superset.formats import (
    DAYS,
    FORMATS,
    GRAINS,
    MONTH,
    SHORT_DAYS,
    SHORT_MONTH,
    Params,
    format_of,
)

_MARKER_SIZE = 6
_BY_NAME = {"sort_series_type": "name", "sort_series_ascending": True}
_TO_THE_WHOLE = {"y_axis_bounds": [0, 1], "truncateYAxis": True}


def series(chart: Chart, layer: SemanticLayer) -> Params:
    """The parameters of a line, bar or area chart: a series per metric or per value of a column."""
    use = layer.marts[chart.mart]
    params = _style(chart) | _value_axis(chart, format_of(chart, layer))
    if chart.x == use.time or chart.grain is not None:
        grain = chart.grain or ("month" if use.is_monthly else "day")
        params |= {
            "time_grain_sqla": GRAINS[grain],
            "x_axis_time_format": SHORT_MONTH if grain == "month" else SHORT_DAYS[layer.language],
            "tooltipTimeFormat": MONTH if grain == "month" else DAYS[layer.language],
            # Markers on each of 90 days would hide the line.
            "markerEnabled": grain == "month",
            "markerSize": _MARKER_SIZE,
        }
    else:
        params |= {"xAxisForceCategorical": True, "x_axis_sort": chart.x}
        if chart.x in ("week", "expiry_week"):
            # Slanted labels leave room for more of the Mondays.
            params |= {"xAxisLabelRotation": 45}
    if chart.horizontal:
        params |= {"orientation": "horizontal", "show_value": True, "x_axis_sort": chart.metrics[0]}
    return params


def _style(chart: Chart) -> Params:
    is_stacked = chart.stacked or chart.kind == "area"
    params: Params = {
        "x_axis": chart.x,
        "metrics": list(chart.metrics),
        "groupby": list(chart.by),
        "row_limit": chart.limit,
        "color_scheme": "supersetColors",
        "show_legend": len(chart.metrics) > 1 or bool(chart.by),
        "legendType": "plain",
        "legendOrientation": "top",
        "rich_tooltip": True,
        "showTooltipTotal": is_stacked,
        "stack": "Stack" if is_stacked else None,
        "truncate_metric": True,
        "show_empty_columns": True,
        "x_axis_sort_asc": True,
        # The greatest series is first, unless the chart has an order.
        **({"sort_series_type": "sum"} if chart.order is None else _BY_NAME),
    }
    if chart.kind == "area":
        params["opacity"] = 0.5
    elif chart.kind == "line":
        # A line without markers shows nothing in a programme's first month, when it has one point.
        params |= {"markerEnabled": True, "markerSize": _MARKER_SIZE}
    return params


def _value_axis(chart: Chart, number_format: str) -> Params:
    """The axis of the values; shares of a whole end at 100 %."""
    if chart.share:
        return {"contributionMode": "row", "y_axis_format": ".0%"} | _TO_THE_WHOLE
    if chart.stacked and number_format == FORMATS["share"]:
        return {"y_axis_format": ".0%"} | _TO_THE_WHOLE
    if number_format == FORMATS["exact"]:
        return {"y_axis_format": number_format} | _TO_THE_WHOLE | {"y_axis_bounds": [None, 1]}
    return {"y_axis_format": number_format, "truncateXAxis": True}
