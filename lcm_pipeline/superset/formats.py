"""How numbers and days are written: d3's words for the formats of the definition."""

from typing import Any

from lcm_pipeline.superset.definition import Chart, Marts

Params = dict[str, Any]

FORMATS = {
    "count": ",d",
    "points": ",.0f",
    "money": ",.0f",
    "share": ".1%",
    "exact": ".2%",
    "decimal": ",.1f",
    "text": "",
}
GRAINS = {"day": "P1D", "week": "P1W", "month": "P1M"}
DAY, MONTH = "%d.%m.%Y", "%Y-%m"


def format_of(chart: Chart, marts: Marts) -> str:
    """The format of a chart's first metric."""
    return FORMATS[marts.marts[chart.mart].metrics[chart.metrics[0]].format]
