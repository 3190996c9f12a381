"""`lcm sync`: sync days into the warehouse, through Dagster in this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from lcm_pipeline.cli.failures import INCOMPLETE, explaining_refused_credentials, print_message
from lcm_pipeline.cli.feed_options import ClientOption, FeedOption, known_feeds
from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.lazy_group import lazy_import
from lcm_pipeline.cli.options import DayOption, FromOption, ToOption, YesterdayOption, window_of
from lcm_pipeline.cli.progress_log import LogFormat, command_progress, log
from lcm_pipeline.cli.results import print_reports, what_is_incomplete
from lcm_pipeline.feeds import CLIENT_FEEDS, REGISTRATIONS
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.sync.progress import Progress
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.warehouse.access.rights import require_new_months
from lcm_pipeline.warehouse.migrations import have_old_marts
from lcm_pipeline.warehouse.missing_days import missing_window
from lcm_pipeline.warehouse.preparation import programme_warehouse

if TYPE_CHECKING:
    from lcm_pipeline.orchestration import executors, launch, run_failures
    from lcm_pipeline.sync import engine
    from lcm_pipeline.verify import repair
    from lcm_pipeline.warehouse.marts import refresh
else:
    executors = lazy_import("lcm_pipeline.orchestration.executors")
    launch = lazy_import("lcm_pipeline.orchestration.launch")
    run_failures = lazy_import("lcm_pipeline.orchestration.run_failures")
    engine = lazy_import("lcm_pipeline.sync.engine")
    repair = lazy_import("lcm_pipeline.verify.repair")
    refresh = lazy_import("lcm_pipeline.warehouse.marts.refresh")


def sync(
    day: DayOption = None,
    first: FromOption = None,
    last: ToOption = None,
    yesterday: YesterdayOption = False,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing",
            help="From the first to the last incomplete day.",
        ),
    ] = False,
    feeds: FeedOption = None,
    clients: ClientOption = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log lines with times and more detail.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(help="Log lines with times, also on a terminal.", show_default="bars or text"),
    ] = None,
) -> None:
    """Sync days into the warehouse, through Dagster, in this process.

    A range of days is one run: each client is read once, and its rows go to the days they belong
    to. After an interruption, the same command resumes. Exit code 3 means that rows are in
    quarantine, or that some clients could not be proven complete: these stay pending and are read
    first next time. Rows are counted over all tables of a feed.

    --client reads clients again in full, even if they are up to date, for the newest synced day; it
    makes no day complete.

    Progress goes to standard error: bars on a terminal, log lines with times elsewhere.

    Examples: [bold]lcm sync --yesterday[/bold], [bold]lcm sync --date 2026-03-01[/bold],
    [bold]lcm sync --from 2026-03-01 --to 2026-03-30[/bold]
    """
    settings = load_settings()
    last_ended = settings.yesterday()
    chosen = known_feeds(feeds)
    names_days = bool(day or first or last)
    _require_one_choice(
        names_days=names_days, yesterday=yesterday, missing=missing, clients=clients, feeds=chosen
    )
    window: Window | None = None
    if names_days or yesterday:
        window = window_of(settings, last_ended if yesterday else day, first, last)
    if missing:
        settings.require_begun()
    settings.required_api_url()
    with (
        command_progress(is_verbose=verbose, is_quiet=quiet, form=log_format) as progress,
        explaining_refused_credentials(),
    ):
        # Logged before Dagster is imported, which takes more than a second.
        log.info("lcm sync of %s", window or ("some clients" if clients else "what is missing"))
        if clients:
            outcome: _Outcome | None = _sync_clients(settings, clients, chosen, progress)
        else:
            outcome = _sync(settings, window, chosen, progress, last_ended)
    if outcome is None:
        if log_format is LogFormat.JSON:
            print_json({"reports": []})
        elif not quiet:
            typer.echo(f"every day through {last_ended} is complete: nothing to sync")
        return
    if log_format is LogFormat.JSON:
        print_json({"reports": outcome.reports})
    elif quiet:
        # The reasons of exit code 3: cron sends them by mail.
        for report in outcome.reports:
            for line in what_is_incomplete(report):
                print_message(line)
    else:
        if missing:
            typer.echo(f"missing days: {outcome.window}")
        print_reports(outcome.reports)
        if chosen is not None or clients:
            typer.echo("the marts are as they were: lcm marts brings them up to date")
    if outcome.failed is not None:
        raise outcome.failed
    if not all(report.is_complete for report in outcome.reports):
        raise typer.Exit(INCOMPLETE)


@dataclass(frozen=True)
class _Outcome:
    """The result of a sync. failed: the error of a check or a mart; the days are synced anyway.

    window: None for a sync of single clients.
    """

    window: Window | None
    reports: Sequence[SyncReport]
    failed: UserError | None = None


def _sync(
    settings: Settings,
    window: Window | None,
    feeds: list[str] | None,
    progress: Progress,
    last_ended: date,
) -> _Outcome | None:
    """Sync the window, or the missing days if it is None; returns None if none is missing.

    If no day is missing, an earlier sync may have failed, or been killed, before its marts: they
    are refreshed then.
    """
    # Checked first: a missing setting must not be found only on a day that has something to read.
    if settings.executor != "in_process":
        executors.require_executor(settings)
    with programme_warehouse(settings) as warehouse:
        window = window or missing_window(warehouse, settings.start_date, last_ended)
        if window is None:
            # Marts of an older version stay as they are: `lcm migrate` says why.
            if feeds is None and not (
                have_old_marts(warehouse) or refresh.are_up_to_date(warehouse)
            ):
                log.info("every day is complete, and the marts are older: refreshing them")
                launch.materialize_marts(settings, warehouse, progress)
            return None
        log.info("reading %s into %s", window, warehouse.location)
        require_new_months(warehouse)
        try:
            return _Outcome(
                window, launch.materialize_window(settings, warehouse, window, progress, feeds)
            )
        except run_failures.DaysSyncedError as failed:
            return _Outcome(window, failed.reports, failed)


def _sync_clients(
    settings: Settings, client_ids: list[int], feeds: list[str] | None, progress: Progress
) -> _Outcome:
    """Read some clients again; raises UsageError if one is not in the roster."""
    with programme_warehouse(settings) as warehouse:
        chosen = [feed for feed in CLIENT_FEEDS if feeds is None or feed.name in feeds]
        sync = engine.SyncEngine(settings, warehouse, progress)
        return _Outcome(None, repair.read_clients_again(sync, chosen, client_ids))


def _require_one_choice(
    *,
    names_days: bool,
    yesterday: bool,
    missing: bool,
    clients: list[int] | None,
    feeds: list[str] | None,
) -> None:
    """Raise BadParameter unless the options choose days, yesterday, the missing days, or clients.

    names_days: --date, --from or --to was given.
    """
    if clients and (missing or yesterday or names_days):
        raise typer.BadParameter("--client reads whole histories: give no days")
    if clients and feeds == [REGISTRATIONS.name]:
        raise typer.BadParameter("registrations are read by day: --client has none to read")
    if missing and (yesterday or names_days):
        raise typer.BadParameter("--missing finds the days itself: give no other days")
    if not (missing or clients or yesterday or names_days):
        raise typer.BadParameter(
            "give --yesterday, --missing, --date DAY, or both --from DAY and --to DAY"
        )
    if yesterday and names_days:
        raise typer.BadParameter("--yesterday is a day of its own: give no other days")
