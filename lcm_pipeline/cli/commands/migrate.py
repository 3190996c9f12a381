"""`lcm migrate`: the schema of the warehouse."""

import typer

from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse import migrations
from lcm_pipeline.warehouse.connection import open_warehouse


def migrate() -> None:
    """Bring the schema of the warehouse up to date; does nothing when it is."""
    with open_warehouse(load_settings()) as warehouse:
        applied = migrations.migrate(warehouse)
        place = warehouse.place
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo(f"the schema of {place} is up to date")
