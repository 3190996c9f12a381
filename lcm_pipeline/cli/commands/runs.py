"""`lcm runs`: what was synced when, and what became of it."""

from typing import Annotated

import typer

from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.output import print_runs
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.status import read_runs


def runs(
    most: Annotated[int, typer.Option("--last", min=1, help="So many of the newest runs.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the newest runs: feed, days, what became of each, and why it failed.

    A run is one reading of one feed for a window of days. Times are UTC. Nothing is changed.
    """
    with open_warehouse(load_settings(), is_read_only=True) as warehouse:
        found = read_runs(warehouse, most)
    if as_json:
        print_json({"runs": found})
    else:
        print_runs(found)
