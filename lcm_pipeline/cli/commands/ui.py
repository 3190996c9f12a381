"""`lcm ui`: turns this process into Dagster's web page and daemon."""

import os
from typing import Annotated

import typer

from lcm_pipeline.orchestration.launch import ui_command
from lcm_pipeline.settings import load_settings


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 3000,
) -> None:
    """Open Dagster's web page: assets, runs, schedules, backfills."""
    arguments, variables = ui_command(load_settings(), port)
    print(f"Dagster: http://127.0.0.1:{port}  (stop with Ctrl-C)", flush=True)
    # In place of this process, so that every signal reaches Dagster and it ends its own children.
    os.execve(arguments[0], arguments, {**os.environ, **variables})  # noqa: S606 - our own command
