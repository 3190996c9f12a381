"""Turns this process into Dagster's web page and daemon."""

import os

from lcm_pipeline.orchestration.launch import ui_command
from lcm_pipeline.settings import Settings


def serve_ui(settings: Settings, port: int) -> None:
    """Serve the page on loopback until it is stopped; does not return."""
    arguments, variables = ui_command(settings, port)
    print(f"Dagster: http://127.0.0.1:{port}  (stop with Ctrl-C)", flush=True)
    # In place of this process, so that every signal reaches Dagster and it ends its own children.
    os.execve(arguments[0], arguments, {**os.environ, **variables})  # noqa: S606 - our own command
