"""`lcm docs`: the data dictionary."""

from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.options import creatable_file
from lcm_pipeline.cli.output import open_output
from lcm_pipeline.cli.warehouse import warehouse_or_empty
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.access.dictionary import as_markdown, describe


def docs(
    output: Annotated[
        Path,
        typer.Option(
            parser=creatable_file,
            metavar="FILE",
            help="File to write, - for standard output.",
        ),
    ] = Path("docs/data_dictionary.md"),
) -> None:
    """Write the data dictionary: every table, view and column, with its comment."""
    with warehouse_or_empty(load_settings()) as warehouse:
        page = as_markdown(describe(warehouse))
    output.parent.mkdir(parents=True, exist_ok=True)
    with open_output(output) as file:
        file.write(page.encode())
    if str(output) != "-":
        typer.echo(f"wrote {output}")
