"""Tables of figures, printed and written into docs/benchmarks.md between markers.

The text around the markers is written by people and stays. The raw figures lie beside, as JSON.
"""

import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from benchmarks.serving import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
FIGURES = ROOT / "docs" / "benchmarks.json"


@dataclass
class Table:
    """The figures of one scenario, as they are shown. is_single: each was measured once."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    is_single: bool = False

    def add(self, *cells: str) -> None:
        """One row more."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.name}: {len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)

    def markdown(self) -> str:
        """As a Markdown table."""
        rule = "|".join(["---", *("---:" for _ in self.columns[1:])])
        lines = [" | ".join(self.columns), rule, *(" | ".join(row) for row in self.rows)]
        return "\n".join(f"| {line} |" if line != rule else f"|{line}|" for line in lines)


def join(tables: Mapping[str, Table]) -> Table:
    """One table of a scenario on several versions of Postgres; of one alone, that table itself."""
    first, *others = tables.values()
    if not others:
        return first
    columns = (first.columns[0], "Postgres", *first.columns[1:])
    joined = Table(first.name, columns, is_single=first.is_single)
    for version, table in tables.items():
        for name, *cells in table.rows:
            joined.add(name, version, *cells)
    return joined


def write(table: Table, *, runs: int, page: Path = PAGE, figures: Path = FIGURES) -> None:
    """Put the table in its place on the page, and its figures into the JSON."""
    runs = 1 if table.is_single else runs
    said = f"{table.markdown()}\n\n{describe_machine(runs)}"
    begin, end = f"<!-- {table.name} -->", f"<!-- /{table.name} -->"
    text = page.read_text(encoding="utf-8")
    place = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not place.search(text):
        raise ValueError(f"{page} has no place marked {begin} … {end}")
    filled = f"{begin}\n\n{said}\n\n{end}"
    page.write_text(place.sub(lambda _: filled, text), encoding="utf-8")
    known = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    known[table.name] = {
        "measured": describe_machine(runs),
        "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
    }
    figures.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def describe_machine(runs: int) -> str:
    """Where and when, as far as it bears on the figures."""
    load = os.getloadavg()[1]
    taken = "one run each" if runs == 1 else f"medians of {runs} runs"
    return (
        f"*{date.today()}, {os.cpu_count()} cores, Python {platform.python_version()}; {taken};"
        f" load of the machine over the last five minutes: {load:.1f}.*"
    )
