"""The commands of every day: bring days in, see what they cost, hold them against the source."""

from typing import Annotated

import typer

from lcm_pipeline.cli.failures import INCOMPLETE
from lcm_pipeline.cli.imports import large_imports
from lcm_pipeline.cli.opening import migrated_warehouse
from lcm_pipeline.cli.options import DayOption, FromOption, OutputOption, ToOption, window_of


def plan(day: DayOption = None, first: FromOption = None, last: ToOption = None) -> None:
    """Say beforehand what a sync will cost: requests, time at the set rate, likely rows.

    Asks the API for a few days and clients where the warehouse does not know them yet; writes
    nothing.
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()
    window = window_of(settings, day, first, last)
    settings.required_api_url()

    from lcm_pipeline.cli.printing import print_plan
    from lcm_pipeline.sync.plan import plan_window

    with migrated_warehouse(settings) as warehouse:
        print_plan(plan_window(settings, warehouse, window))


def sync(day: DayOption = None, first: FromOption = None, last: ToOption = None) -> None:
    """Bring days into the warehouse, through Dagster, in this process.

    A range is one run: each client is read once, and its rows go to every day they belong to.
    Stopped or killed, the same command goes on where it was. Exit code 3 says that some clients
    could not be proven complete: they stay pending and are read first next time.

    Examples: [bold]lcm sync --date 2026-03-01[/bold],
    [bold]lcm sync --from 2026-03-01 --to 2026-03-30[/bold]
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()
    window = window_of(settings, day, first, last)
    settings.required_api_url()

    with large_imports():
        from lcm_pipeline.cli.printing import print_reports
        from lcm_pipeline.cli.syncing import ChecksFailed, sync_window

    try:
        reports = sync_window(settings, window)
    except ChecksFailed as failed:
        print_reports(failed.reports)
        raise
    print_reports(reports)
    if not all(report.is_complete for report in reports):
        raise typer.Exit(INCOMPLETE)


def report(day: DayOption = None, output: OutputOption = None) -> None:
    """Write the report of a day: one HTML page to mail or print, that needs no network to open.

    Without --date it is of the last day of operations. It reads the marts alone, all in one
    snapshot; a user of the database who is a member of lcm_bi may run it. Exit code 3 says that the
    page was written, but that the day is not complete: a banner on the page tells what is missing.

    Example: [bold]lcm report --date 2026-03-01 --output monday.html[/bold]
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()
    if day is not None:
        window_of(settings, day, None, None)

    from lcm_pipeline.cli.delivering import deliver
    from lcm_pipeline.reporting.reports import make_report
    from lcm_pipeline.warehouse.connection import open_warehouse

    with open_warehouse(settings) as warehouse:
        made = make_report(warehouse, day)
    deliver(made, output)
    if made.incomplete:
        raise typer.Exit(INCOMPLETE)


def verify(
    sample: Annotated[
        int, typer.Option(min=1, help="Clients to ask the API for again, drawn at random.")
    ] = 100,
    everyone: Annotated[bool, typer.Option("--all", help="Ask for every client.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Read the clients that differ again, and publish them.")
    ] = False,
) -> None:
    """Ask the API again and say which clients differ, and by which rows.

    Without --fix nothing is written to the warehouse. With it the clients that differ are read in
    full and published, under the usual proofs and the delete fuse, and then compared again. Exit
    code 3 when something differs in the end, or could not be compared.
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()
    settings.required_api_url()

    from lcm_pipeline.cli.verifying import verify_warehouse

    if not verify_warehouse(settings, None if everyone else sample, fix=fix):
        raise typer.Exit(INCOMPLETE)


def replay() -> None:
    """Take in quarantined rows that fit by now, after the contract was mended.

    Clients and days with open rows in quarantine forget that they are up to date, so the next sync
    reads them in full; nothing is asked of the API here.
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.warehouse.replaying import forget_quarantined

    with migrated_warehouse(settings) as warehouse:
        forgotten = forget_quarantined(warehouse)
    typer.echo(f"{forgotten:,} clients and days will be read in full by the next lcm sync")
