"""The commands about the warehouse itself: how it stands, its marts, its schema, its words."""

from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.opening import migrated_warehouse


def status() -> None:
    """Say, for each table, through which day it is complete, its rows, what is pending."""
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.cli.printing import print_status
    from lcm_pipeline.warehouse.overview import read_overview

    with migrated_warehouse(settings) as warehouse:
        print_status(read_overview(warehouse))


def marts(
    everything: Annotated[
        bool, typer.Option("--all", help="Compute all anew, also what looks up to date.")
    ] = False,
) -> None:
    """Refresh the stored marts now; each sync does it once its facts are checked.

    Of use after a change in mart.parameters or mart.rfm_segments, and with --all after rows of core
    were repaired by hand. Readers see the old answers until all the new ones are there.
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.cli.printing import print_refreshed
    from lcm_pipeline.warehouse.mart_refreshing import refresh_marts
    from lcm_pipeline.warehouse.marts import keep_time_zone

    with migrated_warehouse(settings) as warehouse:
        keep_time_zone(warehouse, settings.timezone)
        print_refreshed(refresh_marts(warehouse, everything=everything))


def migrate() -> None:
    """Bring the schema of the warehouse up to date; does nothing when it is."""
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.warehouse.connection import open_warehouse
    from lcm_pipeline.warehouse.migrations import migrate as bring_up_to_date

    with open_warehouse(settings) as warehouse:
        applied = bring_up_to_date(warehouse)
        place = warehouse.place
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo(f"the schema of {place} is up to date")


def docs(
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("docs/data_dictionary.md"),
) -> None:
    """Write the data dictionary: every table, view and column, from the database's own comments."""
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.warehouse.dictionary import as_markdown, describe

    with migrated_warehouse(settings) as warehouse:
        page = as_markdown(describe(warehouse))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
    typer.echo(f"wrote {output}")
