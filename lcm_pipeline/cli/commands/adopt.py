"""`lcm adopt`: accept another address of the same programme."""

import typer

from lcm_pipeline.cli.options import YesOption
from lcm_pipeline.cli.prompts import confirm
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.programme import adopt_programme, programme_of, stored_programme


def adopt(yes: YesOption = False) -> None:
    """Record that this warehouse's programme has moved to the address in the settings.

    The first sync records which programme it reads, by LCM_API_URL and LCM_OPERATOR. Later syncs
    and pushes with another address or operator are refused, because the rows of two programmes
    could not be separated again. Adopt an address only if it serves the same programme.
    """
    settings = load_settings()
    wanted = programme_of(settings)
    with existing_warehouse(settings) as warehouse:
        stored = stored_programme(warehouse)
        if stored == wanted:
            typer.echo(
                f"the warehouse {warehouse.location} already holds the programme of {stored}"
            )
            return
        typer.echo(
            f"the warehouse {warehouse.location} holds the programme of {stored or 'no API yet'}"
        )
        if not yes:
            confirm(f"From now on it is that of {wanted}. Is it the same one?")
        adopt_programme(warehouse, wanted)
    typer.echo(f"from now on it is read from {wanted}")
