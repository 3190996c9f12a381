"""Lines and tables for the terminal, in the form that all commands share."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lcm_pipeline.files import replacing
from lcm_pipeline.model.texts import shorten, strip_control_characters

# Only for annotations: few commands need pandas.
if TYPE_CHECKING:
    import pandas as pd

# Lines are wrapped at the width of a terminal, but at a fixed one in a pipe or a file.
console = Console(width=None if sys.stdout.isatty() else 200)

# Of a reason that the source or the database gave.
LONGEST_REASON = 500
_LONGEST_CELL = 200
# More than any table needs.
_WIDE = 10_000
_MAX_ROWS = 30


@contextmanager
def open_output(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open standard output for `-`, or else a file that replaces `path` at the end."""
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with replacing(path, mode) as file:
            yield file


def output_name(path: Path) -> str:
    """The path as a message names it."""
    return "standard output" if str(path) == "-" else strip_control_characters(str(path))


def print_line(line: str) -> None:
    """Print a line that may contain texts of the source; nothing in it is read as markup."""
    console.print(strip_control_characters(line), markup=False, emoji=False)


def print_unwrapped(line: str) -> None:
    """Print a line without wrapping it, so that it stays one line in a pipe."""
    console.print(
        strip_control_characters(line), markup=False, emoji=False, highlight=False, soft_wrap=True
    )


def new_table(first: str, *others: str) -> Table:
    """An empty table: the first column is aligned to the left, the others to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def print_table(table: Table) -> None:
    """Print a table; on a narrow terminal its lines wrap there, as rich would cut numbers short."""
    narrowest = console.measure(table, options=console.options.update(max_width=_WIDE)).minimum
    if narrowest > console.width:
        table.width = narrowest
    console.print(table, crop=False)


def print_frame(frame: "pd.DataFrame") -> None:
    """Print the first rows of a DataFrame."""
    table = new_table(*map(str, frame.columns))
    for row in frame.head(_MAX_ROWS).itertuples(index=False):
        table.add_row(*(Text(shorten(str(value), _LONGEST_CELL)) for value in row))
    print_table(table)
    if len(frame) > _MAX_ROWS:
        console.print(f"… and {len(frame) - _MAX_ROWS:,} more")
