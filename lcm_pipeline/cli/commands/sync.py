"""`lcm sync`: days into the warehouse, through Dagster in this process, with bars."""

import typer

from lcm_pipeline.cli.failures import INCOMPLETE
from lcm_pipeline.cli.options import DayOption, FromOption, ToOption, window_of
from lcm_pipeline.cli.output import print_reports
from lcm_pipeline.cli.progress_bar import ProgressBar
from lcm_pipeline.cli.warehouse import migrated_warehouse
from lcm_pipeline.orchestration.launch import ChecksFailedError, materialize_window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.rights import require_new_months


def sync(day: DayOption = None, first: FromOption = None, last: ToOption = None) -> None:
    """Bring days into the warehouse, through Dagster, in this process.

    A range is one run: each client is read once, and its rows go to every day they belong to.
    Stopped or killed, the same command goes on where it was. Exit code 3 says that some clients
    could not be proven complete: they stay pending and are read first next time.

    Examples: [bold]lcm sync --date 2026-03-01[/bold],
    [bold]lcm sync --from 2026-03-01 --to 2026-03-30[/bold]
    """
    settings = load_settings()
    window = window_of(settings, day, first, last)
    settings.required_api_url()
    try:
        with migrated_warehouse(settings) as warehouse, ProgressBar() as progress:
            require_new_months(warehouse)
            reports = materialize_window(settings, warehouse, window, progress)
    except ChecksFailedError as failed:
        print_reports(failed.reports)
        raise
    print_reports(reports)
    if not all(report.is_complete for report in reports):
        raise typer.Exit(INCOMPLETE)
