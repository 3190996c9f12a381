"""`lcm replay`: publish quarantined rows, once the payload definition is fixed."""

import typer

from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.ingest.resets import reset_quarantined


def replay() -> None:
    """Let the next sync publish quarantined rows, once the payload definition is fixed.

    Marks the clients and days with open rows in quarantine as out of date, so that the next sync
    reads them in full. This command itself makes no request to the API.
    """
    with (
        existing_warehouse(load_settings()) as warehouse,
        warehouse.connect(application_name="lcm replay") as session,
    ):
        count = reset_quarantined(session)
    typer.echo(f"clients and days that the next lcm sync reads in full: {count:,}")
