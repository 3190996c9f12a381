"""`lcm forget`: the right to be forgotten, for one person."""

from typing import Annotated

import typer

from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.forgetting import forget as forget_client


def forget(
    client: Annotated[int, typer.Argument(metavar="CLIENT", help="The client's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. It cannot be undone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the receipt as JSON.")] = False,
) -> None:
    """Erase one person from every schema, and keep any sync from bringing it back.

    Phone, cards, numbers of cheques and coupons, texts of leads, and what is in the outbox or in
    quarantine go. What was bought stays as rows of a number that stands for nobody, so that sums by
    day, shop and month are what they were. Who it was is known by a keyed hash alone
    (LCM_PSEUDONYM_KEY). It prints how many rows were touched, signed with that key.

    The service itself still knows the person: erase it there too. Backups and Dagster's log have a
    life of their own, see docs/privacy.md. It waits for no sync: one under way ends it with 1.
    """
    settings = load_settings()
    with existing_warehouse(settings) as warehouse:
        if not yes:
            typer.confirm(
                f"Erase client {client} from {warehouse.place}? It cannot be undone.", abort=True
            )
        receipt = forget_client(warehouse, client, settings.pseudonym_key_bytes)
    if as_json:
        print_json(vars(receipt))
        return
    for table, rows in receipt.kept_without_person.items():
        typer.echo(f"{rows:>9,}  {table}  kept, without the person")
    for table, rows in receipt.deleted.items():
        typer.echo(f"{rows:>9,}  {table}  deleted")
    typer.echo(f"erased     {receipt.client_hash}  at {receipt.at}")
    typer.echo(f"signature  {receipt.signature}")
