"""`lcm retire`: no day waits for these clients any more."""

from typing import Annotated

import typer

from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.model.errors import UsageError
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
            done = take_back(warehouse, wanted)
            _print(done, "taken back, to be read by the next sync")
            left = "was not retired"
        else:
            if not yes:
                typer.confirm(
                    f"Retire {_named(wanted)}? They are not read any more until --undo.", abort=True
                )
            done = retire_clients(warehouse, wanted)
            _print(done, "retired")
            left = "is not in the roster, or is retired by hand already"
    if others := [client for client in wanted if client not in done]:
        raise UsageError("\n".join(f"client {client} {left}" for client in others))


def _named(clients: list[int]) -> str:
    word = "client" if len(clients) == 1 else "clients"
    return f"{word} {', '.join(map(str, clients))}"


def _print(clients: list[int], done: str) -> None:
    if clients:
        typer.echo(f"{_named(clients)}: {done}")
