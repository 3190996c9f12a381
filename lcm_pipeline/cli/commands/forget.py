"""`lcm forget`: erase one person."""

from typing import Annotated

import typer

from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.marts_progress import marts_progress
from lcm_pipeline.cli.options import ClientArgument
from lcm_pipeline.cli.prompts import confirm
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.privacy.forgetting import (
    Receipt,
    refresh_marts_of_clients,
    require_no_other_rows,
)
from lcm_pipeline.warehouse.privacy.forgetting import forget as forget_client


def forget(
    client: ClientArgument,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask for confirmation. This cannot be undone.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the receipt as JSON.")] = False,
) -> None:
    """Erase one person from every schema, and keep syncs from loading their data again.

    Phone, cards, cheque and coupon numbers, texts of leads, and rows in the outbox and in
    quarantine are deleted. Purchases stay under a number that identifies no one, so that sums by
    day, store and month do not change. Only a keyed hash of the person is stored
    (LCM_PSEUDONYM_KEY). The command prints how many rows were changed, in a receipt that is signed
    with that key. If the person was already erased, for example by an interrupted command, it
    prints the earlier receipt.

    The service still has the data: erase the person there too. Backups and Dagster's log are not
    erased: see docs/privacy.md. While a sync or a push runs, the command fails with exit code 1; it
    waits for another lcm forget or lcm pseudonymize. Exit code 3: the client is erased, but the
    marts, which still list it, could not be refreshed, or tables of your own in the schemas of the
    warehouse list it.
    """
    settings = load_settings()
    with existing_warehouse(settings) as warehouse:
        if not yes:
            confirm(f"Erase client {client} from {warehouse.location}? It cannot be undone.")
        receipt = forget_client(warehouse, client, settings.pseudonym_keys, settings.pseudonyms)
        # Before the marts, whose refresh may take long or fail.
        _print(receipt, as_json=as_json)
        with marts_progress():
            refresh_marts_of_clients(warehouse)
        require_no_other_rows(warehouse, client)


def _print(receipt: Receipt, *, as_json: bool) -> None:
    if as_json:
        print_json(vars(receipt))
        return
    for table, rows in receipt.kept_without_person.items():
        typer.echo(f"{rows:>9,}  {table}  kept, without the person")
    for table, rows in receipt.deleted.items():
        typer.echo(f"{rows:>9,}  {table}  deleted")
    typer.echo(f"erased     {receipt.client_hash}  at {receipt.at}")
    typer.echo(f"signature  {receipt.signature}")
