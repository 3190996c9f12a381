"""`lcm retention`: show or remove what is older than LCM_RETENTION_MONTHS."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from lcm_pipeline.cli.failures import INCOMPLETE
from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.marts_progress import marts_progress
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.settings import load_settings
from lcm_pipeline.verify.reconcile import require_totals_for_removal
from lcm_pipeline.warehouse.privacy.expiration import Expiration, expire, find_expired
from lcm_pipeline.warehouse.programme import require_time_zone


def retention(
    apply: Annotated[
        bool, typer.Option("--apply", help="Remove it. This cannot be undone.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what is older than LCM_RETENTION_MONTHS, or remove it with --apply.

    Whole months of operations, leads, favourites and history are dropped; finished profile updates,
    resolved rows in quarantine and old runs are deleted. Then the marts are recomputed: sums over
    the whole life of a client start with the first stored month. Each successful sync does the
    same.

    Numbers of rows marked with ~ are Postgres' estimates. A larger limit brings nothing back: the
    earlier one holds until its months are within the new one, and the command says so.

    The removal does not wait for readers: months in use stay, with exit code 3, until the next run.
    Nothing is removed while totals differ, with exit code 1.
    """
    settings = load_settings()
    months = settings.retention_months
    if months is None:
        raise UsageError("LCM_RETENTION_MONTHS is not set: everything is stored without limit")
    with existing_warehouse(settings) as warehouse, marts_progress():
        require_time_zone(warehouse, settings)
        if apply:
            require_totals_for_removal(warehouse)
            expired = expire(warehouse, months, settings.zone, datetime.now(UTC))
        else:
            expired = find_expired(warehouse, months, settings.zone)
    if as_json:
        print_json({"applied": apply, **vars(expired)})
    else:
        _print(expired, months, apply=apply)
    if expired.left:
        raise typer.Exit(INCOMPLETE)


def _print(expired: Expiration, months: int, *, apply: bool) -> None:
    for rows in expired.rows:
        count = f"{'~' if rows.is_estimate else ''}{rows.rows:,}"
        size = f"{rows.bytes / 1e6:,.1f} MB" if rows.bytes else ""
        left = f"  stays for now: {rows.left}" if rows.left else ""
        typer.echo(
            f"{count:>12} {'row ' if rows.rows == 1 else 'rows'} {size:>12}  {rows.table}{left}"
        )
    if not expired.rows:
        typer.echo(f"nothing is older than {expired.kept_from}")
    elif apply:
        gone = "removed, except for what stays for now" if expired.left else "removed"
        typer.echo(f"{gone}: stored from {expired.kept_from} on")
    else:
        total = sum(rows.bytes for rows in expired.rows)
        typer.echo(f"older than {expired.kept_from}: {total / 1e6:,.1f} MB; --apply removes it")
    if expired.requested_from < expired.kept_from:
        typer.echo(
            f"an earlier, shorter limit still holds: nothing before {expired.kept_from} is stored,"
            f" although LCM_RETENTION_MONTHS={months} allows days from {expired.requested_from} on."
            " Removed months do not come back"
        )
