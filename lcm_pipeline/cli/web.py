"""Runs Dagster's web page until it is stopped."""

import os
import subprocess

from lcm_pipeline.orchestration.launch import ui_command
from lcm_pipeline.settings import Settings


def serve_ui(settings: Settings, port: int) -> None:
    """Serve the page on loopback; returns when it is stopped."""
    arguments, variables = ui_command(settings, port)
    print(f"Dagster: http://127.0.0.1:{port}  (stop with Ctrl-C)")
    subprocess.run(arguments, env={**os.environ, **variables}, check=False)  # noqa: S603 - our own command line
