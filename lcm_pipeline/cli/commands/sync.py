"""`lcm sync`: days into the warehouse, through Dagster in this process, with bars."""

from datetime import date, datetime, timedelta
from typing import Annotated

import typer

from lcm_pipeline.cli.failures import INCOMPLETE
from lcm_pipeline.cli.options import DayOption, FromOption, ToOption, window_of
from lcm_pipeline.cli.output import print_reports
from lcm_pipeline.cli.progress_bar import ProgressBar
from lcm_pipeline.cli.warehouse import migrated_warehouse
from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.orchestration.launch import ChecksFailedError, materialize_window
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.rights import require_new_months
from lcm_pipeline.warehouse.status import missing_window

_FEED_NAMES = [feed.name for feed in FEEDS]


def sync(
    day: DayOption = None,
    first: FromOption = None,
    last: ToOption = None,
    yesterday: Annotated[
        bool, typer.Option("--yesterday", help="The day that ended last, in LCM_TIMEZONE.")
    ] = False,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing",
            help="From the first day that is not complete to the last, since the start.",
        ),
    ] = False,
    feeds: Annotated[
        list[str] | None,
        typer.Option(
            "--feed", metavar="FEED", help=f"One of {', '.join(_FEED_NAMES)}; repeatable."
        ),
    ] = None,
) -> None:
    """Bring days into the warehouse, through Dagster, in this process.

    A range is one run: each client is read once, and its rows go to every day they belong to.
    Stopped or killed, the same command goes on where it was. Exit code 3 says that some clients
    could not be proven complete: they stay pending and are read first next time.

    Examples: [bold]lcm sync --yesterday[/bold], [bold]lcm sync --date 2026-03-01[/bold],
    [bold]lcm sync --from 2026-03-01 --to 2026-03-30[/bold]
    """
    settings = load_settings()
    last_ended = datetime.now(settings.zone).date() - timedelta(days=1)
    chosen = _known_feeds(feeds)
    window: Window | None = None
    if not missing:
        window = window_of(
            settings, _only_day(day, first, last, last_ended, yesterday), first, last
        )
    elif yesterday or day or first or last:
        raise typer.BadParameter("--missing finds the days itself: give no other days")
    settings.required_api_url()
    try:
        with migrated_warehouse(settings) as warehouse:
            window = window or missing_window(warehouse, settings.start_date, last_ended)
            if window is None:
                typer.echo(f"every day through {last_ended} is complete: nothing to sync")
                return
            if missing:
                typer.echo(f"missing: {window}")
            _sync(settings, warehouse, window, chosen)
    except ChecksFailedError as failed:
        print_reports(failed.reports)
        raise


def _sync(
    settings: Settings, warehouse: Warehouse, window: Window, feeds: list[str] | None
) -> None:
    require_new_months(warehouse)
    with ProgressBar() as progress:
        reports = materialize_window(settings, warehouse, window, progress, feeds)
    print_reports(reports)
    if feeds is not None:
        typer.echo("the marts are as they were: lcm marts brings them up to date")
    if not all(report.is_complete for report in reports):
        raise typer.Exit(INCOMPLETE)


def _only_day(
    day: date | None, first: date | None, last: date | None, last_ended: date, yesterday: bool
) -> date | None:
    if not yesterday:
        return day
    if day or first or last:
        raise typer.BadParameter("--yesterday is a day of its own: give no other days")
    return last_ended


def _known_feeds(names: list[str] | None) -> list[str] | None:
    """The feeds in the order of their reading; None for all."""
    if not names:
        return None
    if unknown := set(names) - set(_FEED_NAMES):
        raise typer.BadParameter(
            f"{min(unknown)!r} is no feed: expected one of {', '.join(_FEED_NAMES)}"
        )
    return [name for name in _FEED_NAMES if name in names]
