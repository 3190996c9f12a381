"""`lcm adopt`: the same programme at another address."""

from typing import Annotated

import typer

from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.source import adopt_source, held_source, source_of


def adopt(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Say that the programme of this warehouse has moved to the address of the settings.

    The first sync notes the programme that it reads, by LCM_API_URL and LCM_OPERATOR, and syncs and
    pushes of another one are refused: rows of two programmes could not be told apart again. Adopt
    only where it is the same programme.
    """
    settings = load_settings()
    wanted = source_of(settings)
    with existing_warehouse(settings) as warehouse:
        held = held_source(warehouse)
        if held == wanted:
            typer.echo(f"the warehouse {warehouse.place} holds the programme of {held} already")
            return
        typer.echo(f"the warehouse {warehouse.place} holds the programme of {held or 'nobody yet'}")
        if not yes:
            typer.confirm(f"From now on it is that of {wanted}. Is it the same one?", abort=True)
        adopt_source(warehouse, wanted)
    typer.echo(f"from now on it is read from {wanted}")
