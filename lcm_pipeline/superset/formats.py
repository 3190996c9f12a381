"""The formats of the definition in the syntax of d3 and of Postgres."""

from typing import Any

from lcm_pipeline.model.language import Language
from lcm_pipeline.superset.definition import Chart, Metric, SemanticLayer

Params = dict[str, Any]

FORMATS = {
    "count": ",d",
    "points": ",.0f",
    "money": ",.0f",
    "share": ".1%",
    "exact": ".2%",
    "decimal": ",.1f",
    "day": "",
    "moment": "",
    "text": "",
}
GRAINS = {"day": "P1D", "month": "P1M"}
# Superset lets axis labels touch as long as they do not overlap; the spaces separate them.
_SPACE = "\u00a0"
MONTH = "%Y-%m"
SHORT_MONTH = f"{_SPACE}{MONTH}{_SPACE}"
DAYS: dict[Language, str] = {"ru": "%d.%m.%Y", "en": "%d %b %Y"}
# Without the year, for axis labels.
SHORT_DAYS: dict[Language, str] = {
    "ru": f"{2 * _SPACE}%d.%m{2 * _SPACE}",
    "en": f"{2 * _SPACE}%d %b{2 * _SPACE}",
}
_SQL_DAYS: dict[Language, str] = {"ru": "DD.MM.YYYY", "en": f"DD{_SPACE}Mon{_SPACE}YYYY"}


def sql_of(metric: Metric, layer: SemanticLayer) -> str:
    """The SQL of a metric; days and timestamps (in the programme's time zone) become texts."""
    shape = _SQL_DAYS[layer.language]
    if metric.format == "day":
        return f"coalesce(to_char({metric.sql}, '{shape}'), '—')"
    if metric.format == "moment":
        return f"to_char(({metric.sql}) at time zone '{layer.timezone}', '{shape} HH24:MI')"
    return metric.sql


def format_of(chart: Chart, layer: SemanticLayer) -> str:
    """The format of a chart's first metric."""
    return FORMATS[layer.marts[chart.mart].metrics[chart.metrics[0]].format]
