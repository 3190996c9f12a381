"""`lcm migrate`: the schema of the warehouse."""

import typer

from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse import migrations
from lcm_pipeline.warehouse.connection import open_warehouse


def migrate() -> None:
    """Bring the schema of the warehouse up to date, and grant the group roles what they lack.

    Roles that were made after the migration, and warehouses restored from a dump without its
    privileges, get their rights here. Does nothing when nothing is missing.
    """
    with open_warehouse(load_settings()) as warehouse:
        applied = migrations.migrate(warehouse)
        granted = migrations.grant_missing_rights(warehouse)
        place = warehouse.place
    for name in applied:
        typer.echo(f"applied {name}")
    for role, count in granted.items():
        typer.echo(f"granted {count:,} rights to {role}")
    typer.echo(f"the schema of {place} is up to date")
