"""`lcm runs`: the newest runs and their states."""

from typing import Annotated

import typer

from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.output import LONGEST_REASON, new_table, print_table, print_unwrapped
from lcm_pipeline.model.integers import LARGEST_INTEGER
from lcm_pipeline.model.texts import shorten
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.status import read_runs


def runs(
    most: Annotated[
        int, typer.Option("--last", min=1, max=LARGEST_INTEGER, help="Number of runs to list.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the newest runs: feed, days, state, and the error of those that failed.

    A run reads one feed for a window of days. Times are in UTC. The command changes nothing.
    """
    with open_warehouse(load_settings(), is_read_only=True) as warehouse:
        found = read_runs(warehouse, most)
    if as_json:
        print_json({"runs": found})
        return
    table = new_table("run", "feed", "days", "state", "began", "took", "rows\nread", "pending")
    for run in found:
        days = str(run.first_day)
        if run.last_day != run.first_day:
            days += f"\n{run.last_day}"
        took = str(run.finished_at - run.started_at).partition(".")[0] if run.finished_at else "-"
        table.add_row(
            str(run.run_id),
            run.feed,
            days,
            run.state,
            f"{run.started_at:%Y-%m-%d\n%H:%M:%S}",
            took,
            f"{run.rows_read:,}",
            f"{run.pending:,}",
        )
    print_table(table)
    for run in found:
        if run.error:
            print_unwrapped(f"run {run.run_id}, {run.feed}: {shorten(run.error, LONGEST_REASON)}")
