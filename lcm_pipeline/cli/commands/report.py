"""`lcm report`: the page of a day."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lcm_pipeline.cli.failures import INCOMPLETE, explain
from lcm_pipeline.cli.options import DayOption, OutputOption, window_of
from lcm_pipeline.model.extras import requires_extra
from lcm_pipeline.model.texts import tame
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.connection import open_warehouse

if TYPE_CHECKING:
    from lcm_pipeline.reporting.reports import Report


def report(day: DayOption = None, output: OutputOption = None) -> None:
    """Write the report of a day: one HTML page to mail or print, that needs no network to open.

    Without --date it is of the last day of operations. It reads the marts alone, all in one
    snapshot; a user of the database who is a member of lcm_bi may run it. Exit code 3 says that the
    page was written, but that the day is not complete, or that rows are in quarantine: a banner on
    the page says what is missing.

    Example: [bold]lcm report --date 2026-03-01 --output monday.html[/bold]
    """
    # Imported here, so that the help and the message below need no extra.
    with requires_extra("report", "lcm report"):
        from lcm_pipeline.reporting.reports import make_report
    settings = load_settings()
    if day is not None:
        window_of(settings, day, None, None)
    with open_warehouse(settings, is_read_only=True) as warehouse:
        made = make_report(warehouse, day)
    _write(made, output or Path(f"report-{made.day}.html"))
    if made.quarantined:
        explain(
            f"rows in quarantine: {made.quarantined:,} (sync.quarantine says why); they are in no"
            " number of the page"
        )
    if made.incomplete:
        explain(
            f"{made.day} is not complete in {', '.join(made.incomplete)}, and the page says so:"
            f" lcm status lists what is missing, lcm sync --date {made.day} reads it again"
        )
    if made.incomplete or made.quarantined:
        raise typer.Exit(INCOMPLETE)


def _write(made: "Report", path: Path) -> None:
    """Write the page to the file, or to standard output for `-`, where nothing else may go."""
    from lcm_pipeline.reporting.reports import save_report

    if str(path) == "-":
        sys.stdout.buffer.write(made.html.encode())
        sys.stdout.buffer.flush()
    else:
        save_report(made, path)
        typer.echo(f"wrote {tame(str(path))} ({len(made.html.encode()) // 1000} kB)")
