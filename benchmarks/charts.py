"""What the charts of the dashboards ask, taken from their definition."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_DEFINITION = Path(__file__).resolve().parents[1] / "dashboards" / "definition"
_DAYS = 90


@dataclass(frozen=True)
class Question:
    """What one chart asks of its mart."""

    chart: str
    statement: str


def questions(last_day: str) -> Iterator[Question]:
    """The statement of each chart of the definition, over the days up to the last."""
    marts = yaml.safe_load((_DEFINITION / "marts.yaml").read_text())
    for path in sorted(_DEFINITION.glob("*.yaml")):
        page = yaml.safe_load(path.read_text())
        rows = page if isinstance(page, list) else page.get("rows", [])
        for chart in (chart for row in rows for chart in row["charts"]):
            yield Question(chart["title"], _statement(chart, marts, last_day))


def _statement(chart: dict[str, Any], marts: dict[str, Any], last_day: str) -> str:
    mart = marts["marts"][chart["mart"]]
    calculated = marts["calculated"]
    given = [chart["x"]] if "x" in chart else []
    names = [*given, *chart.get("by", [])]
    columns = [calculated[name][-1] if name in calculated else name for name in names]
    known = mart.get("metrics", {})
    measures = [known[name][-1] if name in known else f"max({name})"
                for name in chart.get("metrics", [])]  # fmt: skip
    where = f" where {mart['time']} > date '{last_day}' - {_DAYS}" if "time" in mart else ""
    places = ", ".join(str(place + 1) for place in range(len(columns)))
    group = f" group by {places}" if columns and measures else ""
    selected = ", ".join([*columns, *measures]) or "*"
    limit = f" limit {chart['limit']}" if "limit" in chart else ""
    return f"select {selected} from mart.{chart['mart']}{where}{group}{limit}"
