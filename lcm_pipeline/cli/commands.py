"""The commands of `lcm`, each a few calls; what they print is made in `printing`."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.failures import INCOMPLETE
from lcm_pipeline.cli.options import DayOption, FromOption, OutputOption, ToOption, window_of


def register(app: typer.Typer) -> None:
    """Add the commands in the order in which help lists them."""
    logging.basicConfig(format="%(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        # Loggers that others set to INFO reach this handler whatever the root's own level.
        handler.setLevel(logging.WARNING)
    for command in (
        demo, plan, sync, report, verify, replay, push, status, marts, migrate, docs, simulate, ui,
        dashboards, bundle,
    ):  # fmt: skip
        app.command()(command)


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
    from lcm_pipeline.warehouse.connection import open_warehouse
    from lcm_pipeline.warehouse.migrations import migrate as bring_up_to_date

    with open_warehouse(settings) as warehouse:
        bring_up_to_date(warehouse)
        print_plan(plan_window(settings, warehouse, window))


def replay() -> None:
    """Take in quarantined rows that fit by now, after the contract was mended.

    Clients and days with open rows in quarantine forget that they are up to date, so the next sync
    reads them in full; nothing is asked of the API here.
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.warehouse.connection import open_warehouse
    from lcm_pipeline.warehouse.migrations import migrate as bring_up_to_date
    from lcm_pipeline.warehouse.replaying import forget_quarantined

    with open_warehouse(settings) as warehouse:
        bring_up_to_date(warehouse)
        forgotten = forget_quarantined(warehouse)
    typer.echo(f"{forgotten:,} clients and days will be read in full by the next lcm sync")


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


def push(
    csv: Annotated[
        Path | None,
        typer.Option(help="Put this file into the outbox first: client_id and profile fields."),
    ] = None,
    undo: Annotated[
        int | None, typer.Option(min=1, help="Take back the push of that number instead.")
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", min=1, help="Send at most so many updates.")
    ] = None,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent; send and store nothing.")
    ] = False,
) -> None:
    """Send what waits in outbox.profile_updates to the API, one update of a client at a time.

    The first LCM_PUSH_CANARY updates are a trial: when too many of them fail, the rest stays where
    it is (exit code 1). Updates that break a rule are rejected and never sent, fields equal to
    those last sent are left out. Exit code 3 says that some updates were not sent, or not taken
    whole. Stopped or killed, the same command goes on, and nothing overtakes.

    Examples: [bold]lcm push --csv names.csv --dry-run[/bold], [bold]lcm push --max 100[/bold],
    [bold]lcm push --undo 7[/bold]
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()
    if undo is not None and csv is not None:
        raise typer.BadParameter("give either --csv or --undo")
    if not is_dry:
        settings.required_api_url()

    from lcm_pipeline.cli import pushing

    if is_dry:
        code = (
            pushing.look(settings, csv, most)
            if undo is None
            else pushing.look_at_undo(settings, undo)
        )
    elif undo is not None:
        code = pushing.undo(settings, undo, most)
    else:
        code = pushing.push(settings, csv, most)
    if code:
        raise typer.Exit(code)


def status() -> None:
    """Say, for each table, through which day it is complete, its rows, what is pending."""
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.cli.printing import print_status
    from lcm_pipeline.warehouse.connection import open_warehouse
    from lcm_pipeline.warehouse.migrations import migrate as bring_up_to_date
    from lcm_pipeline.warehouse.overview import read_overview

    with open_warehouse(settings) as warehouse:
        bring_up_to_date(warehouse)
        print_status(read_overview(warehouse))


def marts(
    everything: Annotated[
        bool, typer.Option("--all", help="Compute all anew, also what looks up to date.")
    ] = False,
) -> None:
    """Refresh the stored marts now; each sync does it once its facts are checked.

    Of use after a change in mart.parameters or mart.rfm_segments, and with --all after rows of core
    were repaired by hand. Readers see the old answers until all the new ones are there.
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.cli.printing import print_refreshed
    from lcm_pipeline.warehouse.connection import open_warehouse
    from lcm_pipeline.warehouse.mart_refreshing import refresh_marts
    from lcm_pipeline.warehouse.marts import keep_time_zone
    from lcm_pipeline.warehouse.migrations import migrate as bring_up_to_date

    with open_warehouse(settings) as warehouse:
        bring_up_to_date(warehouse)
        keep_time_zone(warehouse, settings.timezone)
        print_refreshed(refresh_marts(warehouse, everything=everything))


def migrate() -> None:
    """Bring the schema of the warehouse up to date; does nothing when it is."""
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.warehouse.connection import open_warehouse
    from lcm_pipeline.warehouse.migrations import migrate as bring_up_to_date

    with open_warehouse(settings) as warehouse:
        applied = bring_up_to_date(warehouse)
        place = warehouse.place
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo(f"the schema of {place} is up to date")


def docs(
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("docs/data_dictionary.md"),
) -> None:
    """Write the data dictionary: every table, view and column, from the database's own comments."""
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.warehouse.connection import open_warehouse
    from lcm_pipeline.warehouse.dictionary import as_markdown, describe
    from lcm_pipeline.warehouse.migrations import migrate as bring_up_to_date

    with open_warehouse(settings) as warehouse:
        bring_up_to_date(warehouse)
        page = as_markdown(describe(warehouse))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
    typer.echo(f"wrote {output}")


def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8099,
    clients: Annotated[int, typer.Option(min=1, help="Clients registered by now.")] = 400,
    seed: Annotated[int, typer.Option(help="Equal seeds are equal programmes.")] = 1,
    days: Annotated[int, typer.Option(min=1, help="Days since the programme began.")] = 14,
    prefix: Annotated[str, typer.Option(help="Path prefix of the tenant.")] = "/",
    quirk: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, such as max_length=100; repeatable.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault rule as JSON; repeatable.")
    ] = None,
) -> None:
    """Serve a made-up loyalty programme over HTTP, to try the pipeline on."""
    from lcm_pipeline.cli.programme import began, now
    from lcm_pipeline.simulator.configuration import build_config
    from lcm_pipeline.simulator.server import serve

    serve(
        build_config(
            host=host,
            port=port,
            clients=clients,
            seed=seed,
            start=began(days),
            now=now(),
            prefix=prefix,
            quirks=tuple(quirk or ()),
            faults=tuple(fault or ()),
        )
    )


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 3000,
) -> None:
    """Open Dagster's web page: assets, runs, schedules, backfills."""
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.cli.web import serve_ui

    serve_ui(settings, port)


def dashboards(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 8088,
    environment: Annotated[
        Path, typer.Option(help="Superset's own environment, as `make superset` makes it.")
    ] = Path(".venv-superset"),
) -> None:
    """Open the dashboards in Superset, over the warehouse, on this machine alone.

    Superset logs in to the warehouse as a member of lcm_bi, which reads the marts and nothing
    else: LCM_BI_DATABASE_URL, or a login that is made for it. Without a warehouse of your own it
    shows the demo's.
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.cli.dashboards import serve_dashboards

    serve_dashboards(settings, port, environment)


def bundle(
    output: Annotated[Path, typer.Option(help="Folder to write.")] = Path("dashboards/bundle"),
    archive: Annotated[Path, typer.Option(help="Zip to write, as Superset imports it.")] = Path(
        "dist/lcm_dashboards.zip"
    ),
) -> None:
    """Write the dashboards as a bundle for any Superset, from dashboards/definition."""
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.cli.dashboards import write_bundle_files

    write_bundle_files(settings, output, archive)


def demo(
    clients: Annotated[int, typer.Option(min=1, help="Clients of the made-up programme.")] = 400,
    days: Annotated[int, typer.Option(min=1, max=365, help="Days to sync.")] = 14,
) -> None:
    """Show the whole way: a simulated programme, an embedded Postgres, a sync, an answer."""
    from lcm_pipeline.cli.showing import show
    from lcm_pipeline.settings import load_settings

    raise typer.Exit(show(load_settings(), clients=clients, days=days))
