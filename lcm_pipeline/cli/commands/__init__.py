"""The commands of `lcm`, each a few calls; what they print is made in `printing`.

They import what they need when they run. Here is the order in which help lists them.
"""

import logging

import typer

from lcm_pipeline.cli.commands.days import plan, replay, report, sync, verify
from lcm_pipeline.cli.commands.outbox import push
from lcm_pipeline.cli.commands.places import bundle, dashboards, demo, simulate, ui
from lcm_pipeline.cli.commands.warehouse import docs, marts, migrate, status


def register(app: typer.Typer) -> None:
    """Add the commands in the order in which help lists them."""
    logging.basicConfig(format="%(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        # Loggers that others set to INFO reach this handler whatever the root's own level.
        handler.setLevel(logging.WARNING)
    for command in (
        demo, plan, sync, report, verify, replay, push, status, marts, migrate, docs, ui,
        dashboards, bundle, simulate,
    ):  # fmt: skip
        app.command()(command)
