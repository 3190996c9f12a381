"""`lcm retire`: no day waits for these clients any more."""

from typing import Annotated

import typer

from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.ingest.retirement import retire as retire_clients
from lcm_pipeline.warehouse.ingest.retirement import take_back


def retire(
    clients: Annotated[list[int], typer.Argument(metavar="CLIENT...", help="Client ids.")],
    undo: Annotated[
        bool, typer.Option("--undo", help="Take them back: the next sync reads them in full.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Retire clients whom the source no longer knows: no day waits for them any more.

    What they did stays in the warehouse. A sync retires clients by itself: who was refused for good
    in three runs in a row, while others were answered, and whose cards are another client's and who
    has no rows left. Those come back when the source tells of them again; who was retired by hand
    comes back by --undo alone. lcm status --retired lists them all.
    """
    wanted = sorted(set(clients))
    with existing_warehouse(load_settings()) as warehouse:
        if undo:
            take_back(warehouse, wanted)
        else:
            if not yes:
                typer.confirm(
                    f"Retire {_named(wanted)}? They are not read any more until --undo.", abort=True
                )
            retire_clients(warehouse, wanted)
    done = "taken back, to be read by the next sync" if undo else "retired"
    typer.echo(f"{_named(wanted)}: {done}")


def _named(clients: list[int]) -> str:
    word = "client" if len(clients) == 1 else "clients"
    return f"{word} {', '.join(map(str, clients))}"
