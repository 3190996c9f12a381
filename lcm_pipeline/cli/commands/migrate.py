"""`lcm migrate`: upgrade the schema of the warehouse."""

import typer

from lcm_pipeline.cli.marts_progress import marts_progress
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse import migrations
from lcm_pipeline.warehouse.access.rights import require_new_months
from lcm_pipeline.warehouse.connection import open_warehouse


def migrate() -> None:
    """Upgrade the schema of the warehouse, and grant the group roles any missing privileges.

    Privileges can be missing if a role was created after the migration, or if the warehouse was
    restored from a dump without owners and privileges. Gives the warehouse to lcm_owner, so run it
    as a member of that role. Does nothing if nothing is missing.
    """
    with open_warehouse(load_settings()) as warehouse:
        with marts_progress():
            applied = migrations.migrate(warehouse)
        # A migration grants everything itself, and has warned of what it may not grant.
        granted = {} if applied else migrations.grant_missing_rights(warehouse)
        for name in applied:
            typer.echo(f"applied {name}")
        for role, count in granted.items():
            typer.echo(f"granted {count:,} rights to {role}")
        typer.echo(f"the schema of {warehouse.location} is up to date")
        # The owner of a new warehouse exists only now.
        require_new_months(warehouse)
