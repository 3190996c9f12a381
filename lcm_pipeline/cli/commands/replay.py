"""`lcm replay`: rows in quarantine, once the contract fits them."""

import typer

from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.ingest.replay import forget_quarantined


def replay() -> None:
    """Publish quarantined rows that fit now, after the payload definition was corrected.

    Clients and days with open rows in quarantine forget that they are up to date, so the next sync
    reads them in full; nothing is asked of the API here.
    """
    with existing_warehouse(load_settings()) as warehouse:
        forgotten = forget_quarantined(warehouse)
    typer.echo(f"{forgotten:,} clients and days will be read in full by the next lcm sync")
