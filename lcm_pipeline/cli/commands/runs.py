"""`lcm runs`: the newest runs and their states."""

from typing import Annotated

import typer

from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.output import print_runs
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.status import read_runs


def runs(
    most: Annotated[int, typer.Option("--last", min=1, help="Number of runs to list.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the newest runs: feed, days, state, and the error of those that failed.

    A run reads one feed for a window of days. Times are in UTC. The command changes nothing.
    """
    with open_warehouse(load_settings(), is_read_only=True) as warehouse:
        found = read_runs(warehouse, most)
    if as_json:
        print_json({"runs": found})
    else:
        print_runs(found)
