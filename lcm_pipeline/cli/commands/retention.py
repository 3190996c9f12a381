"""`lcm retention`: facts, history and ledgers that are older than they are held."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from lcm_pipeline.cli.failures import INCOMPLETE
from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.expiration import Expired, expire, find_expired


def retention(
    apply: Annotated[bool, typer.Option("--apply", help="Remove it. It cannot be undone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what is older than LCM_RETENTION_MONTHS, or remove it with --apply.

    Months of operations, leads, favourites and of all history are dropped as a whole; finished
    profile updates, resolved rows of the quarantine and old runs are deleted. The marts are then
    computed anew: sums over a client's whole life begin with the first month that is held. Each
    sync that succeeded does the same.

    Nobody who reads is waited for: what is in use stays, with exit code 3, until the next time.
    """
    settings = load_settings()
    months = settings.retention_months
    if months is None:
        raise UsageError("LCM_RETENTION_MONTHS is not set: everything is held")
    with existing_warehouse(settings) as warehouse:
        if apply:
            expired = expire(warehouse, months, settings.zone, datetime.now(UTC))
        else:
            expired = find_expired(warehouse, months, settings.zone)
    if as_json:
        print_json({"applied": apply, **vars(expired)})
    else:
        _print(expired, apply=apply)
    if expired.left:
        raise typer.Exit(INCOMPLETE)


def _print(expired: Expired, *, apply: bool) -> None:
    for rows in expired.rows:
        count = f"{rows.rows:,}" if rows.rows >= 0 else "?"
        size = f"{rows.bytes / 1e6:,.1f} MB" if rows.bytes else ""
        left = f"  stays for now: {rows.left}" if rows.left else ""
        typer.echo(f"{count:>12} rows {size:>12}  {rows.table}{left}")
    if not expired.rows:
        typer.echo(f"nothing is older than {expired.kept_from}")
    elif apply:
        typer.echo(f"removed: held from {expired.kept_from} on")
    else:
        total = sum(rows.bytes for rows in expired.rows)
        typer.echo(
            f"would go: {total / 1e6:,.1f} MB of before {expired.kept_from}; --apply removes it"
        )
