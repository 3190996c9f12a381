"""The queries of the dashboards' charts, built from their definition."""

from collections.abc import Iterator
from dataclasses import dataclass

from lcm_pipeline.superset.definition import (
    Chart,
    Row,
    SemanticLayer,
    dashboards_folder,
    read_definition,
)

_DAYS = 90


@dataclass(frozen=True)
class Question:
    """The query of one chart. chart: its English title, with the page."""

    chart: str
    statement: str


def questions(last_day: str) -> Iterator[Question]:
    """Yield the query of each chart of the definition, over the 90 days up to `last_day`."""
    definition = read_definition(dashboards_folder() / "definition", language="en")
    pages: list[tuple[str, tuple[Row, ...]]] = [("every page", definition.strip)]
    pages += [(page.slug, page.rows) for page in definition.dashboards]
    for page, rows in pages:
        for chart in (chart for row in rows for chart in row.charts):
            yield Question(f"{chart.title} ({page})", _statement(chart, definition.layer, last_day))


def _statement(chart: Chart, layer: SemanticLayer, last_day: str) -> str:
    mart = layer.marts[chart.mart]
    names = [*([chart.x] if chart.x else []), *chart.by, *chart.columns]
    columns = [
        layer.calculated[name].expression if name in layer.calculated else name for name in names
    ]
    measures = [
        mart.metrics[name].sql if name in mart.metrics else f"max({name})" for name in chart.metrics
    ]
    conditions = [chart.only] if chart.only else []
    if mart.time is not None and not chart.whenever:
        conditions.append(f"{mart.time} > date '{last_day}' - {_DAYS}")
    where = f" where {' and '.join(conditions)}" if conditions else ""
    places = ", ".join(str(place + 1) for place in range(len(columns)))
    group = f" group by {places}" if columns and measures else ""
    selected = ", ".join([*columns, *measures]) or "*"
    return f"select {selected} from mart.{chart.mart}{where}{group} limit {chart.limit}"
