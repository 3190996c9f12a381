"""`lcm retire`: stop reading clients that the source no longer knows."""

from typing import Annotated

import typer

from lcm_pipeline.cli.options import YesOption
from lcm_pipeline.cli.prompts import confirm
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.model.integers import LARGEST_INTEGER
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.ingest.retirement import reinstate
from lcm_pipeline.warehouse.ingest.retirement import retire as retire_clients


def retire(
    clients: Annotated[
        list[int],
        typer.Argument(min=1, max=LARGEST_INTEGER, metavar="CLIENT...", help="Client ids."),
    ],
    undo: Annotated[
        bool, typer.Option("--undo", help="Undo it: the next sync reads the clients in full.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Retire clients that the source no longer knows, so that no day waits for them.

    Their rows stay in the warehouse. A sync also retires clients automatically: those refused for
    good in three runs in a row while other clients were read, and those whose cards belong to
    another client now and who have no rows left. They return as soon as the source reports them
    again; clients retired by hand return only with --undo. lcm status --retired lists all of them.
    """
    wanted = sorted(set(clients))
    with existing_warehouse(load_settings()) as warehouse:
        if undo:
            reinstate(warehouse, wanted)
        else:
            if not yes:
                confirm(f"Retire {_named(wanted)}? They are not read any more until --undo.")
            retire_clients(warehouse, wanted)
    outcome = "no longer retired, the next sync reads them in full" if undo else "retired"
    typer.echo(f"{_named(wanted)}: {outcome}")


def _named(clients: list[int]) -> str:
    word = "client" if len(clients) == 1 else "clients"
    return f"{word} {', '.join(map(str, clients))}"
