"""`lcm docs`: the data dictionary."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.options import creatable_file
from lcm_pipeline.cli.warehouse import warehouse_or_empty
from lcm_pipeline.files import replacing
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.access.dictionary import as_markdown, describe


def docs(
    output: Annotated[
        Path,
        typer.Option(
            callback=creatable_file,
            metavar="FILE",
            help="File to write, - for standard output.",
        ),
    ] = Path("docs/data_dictionary.md"),
) -> None:
    """Write the data dictionary: every table, view and column, with its comment."""
    with warehouse_or_empty(load_settings()) as warehouse:
        page = as_markdown(describe(warehouse))
    if str(output) == "-":
        sys.stdout.buffer.write(page.encode())
        sys.stdout.buffer.flush()
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as file:
        file.write(page.encode())
    typer.echo(f"wrote {output}")
