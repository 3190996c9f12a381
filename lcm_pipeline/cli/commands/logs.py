"""`lcm logs`: the log of a Dagster run, or of the embedded server."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lcm_pipeline.cli.lazy_group import lazy_import
from lcm_pipeline.cli.output import print_unwrapped
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.embedded.folder import ServerFolder

if TYPE_CHECKING:
    from lcm_pipeline.orchestration.storage import run_logs
else:
    run_logs = lazy_import("lcm_pipeline.orchestration.storage.run_logs")


def logs(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Id of a Dagster run, or the start of one.")
    ] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="Print the last N lines.")
    ] = 200,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Include debug lines.")] = False,
    server: Annotated[
        bool, typer.Option("--server", help="Print the log of the embedded Postgres instead.")
    ] = False,
) -> None:
    """Print the log of a Dagster run, by default the newest.

    Includes runs of lcm sync and of schedules; times are in UTC. lcm runs lists the state of each
    run.
    """
    settings = load_settings()
    if server:
        for line in ServerFolder(settings.home_path).end_of_logs(lines).splitlines():
            print_unwrapped(line)
        return
    level = logging.DEBUG if verbose else logging.INFO
    log = run_logs.read_run_log(settings, run, level)
    print_unwrapped(f"run {log.run_id} ({log.job_name}): {log.status}")
    for entry in log.entries[-lines:]:
        at = datetime.fromtimestamp(entry.timestamp, UTC)
        print_unwrapped(
            f"{at:%Y-%m-%d %H:%M:%S} {logging.getLevelName(entry.level):<8} {entry.text}"
        )
