"""The queries of the dashboards' charts, built from their definition."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_DEFINITION = Path(__file__).resolve().parents[1] / "dashboards" / "definition"
_DAYS = 90


@dataclass(frozen=True)
class Question:
    """The query of one chart."""

    chart: str
    statement: str


def questions(last_day: str) -> Iterator[Question]:
    """Yield the query of each chart of the definition, over the 90 days up to `last_day`."""
    marts = yaml.safe_load((_DEFINITION / "marts.yaml").read_text())
    for path in sorted(_DEFINITION.glob("*.yaml")):
        page = yaml.safe_load(path.read_text())
        rows = page if isinstance(page, list) else page.get("rows", [])
        for chart in (chart for row in rows for chart in row["charts"]):
            yield Question(chart["title"], _statement(chart, marts, last_day))


def _statement(chart: dict[str, Any], marts: dict[str, Any], last_day: str) -> str:
    mart = marts["marts"][chart["mart"]]
    calculated = marts["calculated"]
    axis = [chart["x"]] if "x" in chart else []
    names = [*axis, *chart.get("by", [])]
    columns = [calculated[name][-1] if name in calculated else name for name in names]
    metrics = mart.get("metrics", {})
    measures = [metrics[name][-1] if name in metrics else f"max({name})"
                for name in chart.get("metrics", [])]  # fmt: skip
    where = f" where {mart['time']} > date '{last_day}' - {_DAYS}" if "time" in mart else ""
    positions = ", ".join(str(index + 1) for index in range(len(columns)))
    group = f" group by {positions}" if columns and measures else ""
    selected = ", ".join([*columns, *measures]) or "*"
    limit = f" limit {chart['limit']}" if "limit" in chart else ""
    return f"select {selected} from mart.{chart['mart']}{where}{group}{limit}"
