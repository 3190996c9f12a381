"""Where a made report goes, and what is said of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lcm_pipeline.cli.failures import explain

if TYPE_CHECKING:
    from lcm_pipeline.reporting.reports import Report


def deliver(report: "Report", output: Path | None) -> None:
    """Write the page to a file, or to standard output for `-`; what is said goes beside it."""
    from lcm_pipeline.reporting.reports import save_report

    place = output or Path(f"report-{report.day}.html")
    if str(place) == "-":
        sys.stdout.buffer.write(report.html.encode())
        sys.stdout.buffer.flush()
    else:
        save_report(report, place)
        typer.echo(f"wrote {place} ({len(report.html.encode()) // 1000} kB)")
    if report.incomplete:
        explain(
            f"{report.day} is not complete in {', '.join(report.incomplete)}, and the page says so:"
            f" lcm status lists what is missing, lcm sync --date {report.day} reads it again"
        )
