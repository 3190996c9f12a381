"""`lcm marts`: refresh the stored marts now."""

from typing import Annotated

import typer

from lcm_pipeline.cli.marts_progress import marts_progress
from lcm_pipeline.cli.output import new_table, print_table
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.marts.refresh import refresh_marts


def marts(
    everything: Annotated[
        bool, typer.Option("--all", help="Recompute all marts, even those that look up to date.")
    ] = False,
) -> None:
    """Refresh the stored marts now; each sync does so after its checks.

    Run it after a change in mart.parameters or mart.rfm_segments, and with --all after rows of core
    were repaired by hand. Queries see the old rows until all marts are refreshed.
    """
    settings = load_settings()
    with existing_warehouse(settings) as warehouse, marts_progress():
        refreshed = refresh_marts(warehouse, everything=everything)
    table = new_table("", "rows", "seconds")
    for mart in refreshed:
        if mart.is_skipped:
            table.add_row(f"mart.{mart.name}", "up to date", "")
        else:
            table.add_row(f"mart.{mart.name}", f"{mart.rows:,}", f"{mart.seconds:.1f}")
    print_table(table)
