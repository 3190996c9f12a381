"""`lcm export`: write a mart to a file."""

from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.failures import print_message
from lcm_pipeline.cli.options import output_option
from lcm_pipeline.cli.output import open_output, output_name
from lcm_pipeline.model.texts import counted
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.access.export import export_csv, export_parquet
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.marts.definitions import marts


class Format(StrEnum):
    """The format of the file."""

    CSV = "csv"
    PARQUET = "parquet"


def export(
    mart: Annotated[str, typer.Argument(metavar="MART", help="A mart, such as program_daily.")],
    chosen: Annotated[
        Format | None,
        typer.Option(
            "--format", help="File format.", show_default="from the name of FILE, else csv"
        ),
    ] = None,
    output: Annotated[Path | None, output_option("MART.FORMAT")] = None,
    spreadsheet_safe: Annotated[
        bool,
        typer.Option(
            "--spreadsheet-safe",
            help="CSV: an apostrophe before texts that a spreadsheet would run as a formula.",
        ),
    ] = False,
) -> None:
    """Write a mart to a file: CSV, or Parquet with its types.

    All rows come from one snapshot, in the order of the mart's key, so equal marts give equal
    files. Marts contain no personal data, so membership in lcm_bi is enough to run it. The data
    dictionary (lcm docs) describes each mart and column.

    Names of stores, goods and statuses are those of the source. A spreadsheet runs one that begins
    with =, +, - or @ as a formula: open a CSV there only with --spreadsheet-safe, which changes
    these texts and no number.

    Example: [bold]lcm export program_daily --format parquet[/bold]
    """
    settings = load_settings()
    name = _known_name(mart)
    is_named_parquet = output is not None and output.suffix.lower() == ".parquet"
    file_format = chosen or (Format.PARQUET if is_named_parquet else Format.CSV)
    if spreadsheet_safe and file_format is not Format.CSV:
        raise typer.BadParameter("--spreadsheet-safe is for --format csv only")
    write = (
        partial(export_csv, spreadsheet_safe=spreadsheet_safe)
        if file_format is Format.CSV
        else export_parquet
    )
    with open_warehouse(settings, is_read_only=True) as warehouse:
        path = output or Path(f"{name}.{file_format}")
        with open_output(path) as file:
            rows = write(warehouse, name, file)
    print_message(f"wrote {counted(rows, 'row')} of mart.{name} to {output_name(path)}")


def _known_name(given: str) -> str:
    """Return the name of the mart without its schema; raises BadParameter for an unknown mart."""
    names = {mart.name for mart in marts()}
    name = given.removeprefix("mart.")
    if name in names:
        return name
    nearest = get_close_matches(name, names, n=1)
    advice = f"did you mean {nearest[0]}?" if nearest else f"marts are {', '.join(sorted(names))}"
    raise typer.BadParameter(f"{given!r} is not a mart: {advice}")
