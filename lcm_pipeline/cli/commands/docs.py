"""`lcm docs`: the data dictionary."""

from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.warehouse import warehouse_or_empty
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.access.dictionary import as_markdown, describe


def docs(
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("docs/data_dictionary.md"),
) -> None:
    """Write the data dictionary: every table, view and column, with its comment."""
    with warehouse_or_empty(load_settings()) as warehouse:
        page = as_markdown(describe(warehouse))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
    typer.echo(f"wrote {output}")
