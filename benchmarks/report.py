"""Tables of figures, printed and written between markers of docs/benchmarks.md.

The text around the markers is written by hand and is not changed. The figures are also written as
JSON next to the page.
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
    """The figures of one scenario, as displayed. is_single: each was measured once."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    is_single: bool = False

    def add(self, *cells: str) -> None:
        """Append a row."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.name}: {len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)

    def markdown(self) -> str:
        """As a Markdown table."""
        rule = "|".join(["---", *("---:" for _ in self.columns[1:])])
        lines = [" | ".join(self.columns), rule, *(" | ".join(row) for row in self.rows)]
        return "\n".join(f"| {line} |" if line != rule else f"|{line}|" for line in lines)


def join(tables: Mapping[str, Table]) -> Table:
    """Join the tables of a scenario by version of Postgres; a single table is returned as it is."""
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
    """Write the table between its markers of the page, and its figures into the JSON."""
    runs = 1 if table.is_single else runs
    content = f"{table.markdown()}\n\n{describe_machine(runs)}"
    begin, end = f"<!-- {table.name} -->", f"<!-- /{table.name} -->"
    text = page.read_text(encoding="utf-8")
    section = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not section.search(text):
        raise ValueError(f"{page} has no place marked {begin} … {end}")
    filled = f"{begin}\n\n{content}\n\n{end}"
    page.write_text(section.sub(lambda _: filled, text), encoding="utf-8")
    stored = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    stored[table.name] = {
        "measured": describe_machine(runs),
        "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
    }
    figures.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


def describe_machine(runs: int) -> str:
    """The date and the machine, as far as they matter for the figures."""
    load = os.getloadavg()[1]
    taken = "one run each" if runs == 1 else f"medians of {runs} runs"
    return (
        f"*{date.today()}, {os.cpu_count()} cores, Python {platform.python_version()}; {taken};"
        f" load of the machine over the last five minutes: {load:.1f}.*"
    )
