"""`lcm logs`: what Dagster kept of a run, and what the embedded server wrote."""

import logging
from datetime import UTC, datetime
from typing import Annotated

import typer

from lcm_pipeline.cli.output import print_unwrapped
from lcm_pipeline.orchestration.run_logs import read_run_log
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.embedded.folder import ServerFolder


def logs(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Id of a Dagster run, or how it begins.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="So many of the last.")] = 200,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Debug lines too.")] = False,
    server: Annotated[
        bool, typer.Option("--server", help="Of the embedded Postgres instead.")
    ] = False,
) -> None:
    """Print the log of the newest run in Dagster, or of the one that is named.

    Runs of lcm sync and of schedules alike; times are UTC. See lcm runs for what became of each.
    """
    settings = load_settings()
    if server:
        for line in ServerFolder(settings.home_path).log_tail(lines).splitlines():
            print_unwrapped(line)
        return
    level = logging.DEBUG if verbose else logging.INFO
    log = read_run_log(settings, run, level)
    print_unwrapped(f"run {log.run_id} ({log.job_name}): {log.status}")
    for entry in log.entries[-lines:]:
        at = datetime.fromtimestamp(entry.timestamp, UTC)
        print_unwrapped(
            f"{at:%Y-%m-%d %H:%M:%S} {logging.getLevelName(entry.level):<8} {entry.text}"
        )
