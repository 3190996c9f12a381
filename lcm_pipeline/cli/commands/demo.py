"""`lcm demo`: the whole pipeline on simulated data, from the API to a query.

It never uses the warehouse or the API of the settings: it has its own folder in LCM_HOME.
"""

import errno
import os
import shutil
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import msgspec
import typer

from lcm_pipeline.cli.commands.simulate import (
    DEFAULT_PORT,
    TodayOption,
    moscow_today,
    programme_config,
    programme_size,
)
from lcm_pipeline.cli.failures import INCOMPLETE
from lcm_pipeline.cli.lazy_group import lazy_import
from lcm_pipeline.cli.output import console, print_frame
from lcm_pipeline.cli.progress_log import command_progress
from lcm_pipeline.cli.results import print_reports, print_verification
from lcm_pipeline.model.texts import counted
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.simulator.configuration import SimulatorConfig
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.migrations import drop_everything, migrate

# Imported on first use: its definitions are made from the environment, which the demo changes.
if TYPE_CHECKING:
    from lcm_pipeline.orchestration import launch
    from lcm_pipeline.verify import verify
    from lcm_pipeline.warehouse.access import frames
else:
    launch = lazy_import("lcm_pipeline.orchestration.launch")
    verify = lazy_import("lcm_pipeline.verify.verify")
    frames = lazy_import("lcm_pipeline.warehouse.access.frames")

# The others are those of the real programme: its address, secrets, limits and alerts.
_SETTINGS_THAT_APPLY = {"timezone", "language"}
_SEED = 20260301
_VERIFIED = 50


def demo(
    clients: Annotated[
        int,
        typer.Option(min=1, callback=programme_size, help="Clients of the simulated programme."),
    ] = 400,
    days: Annotated[int, typer.Option(min=1, max=365, help="Days to sync.")] = 14,
    today: TodayOption = None,
) -> None:
    """Run the whole pipeline on simulated data: API, embedded Postgres, sync, query.

    The rows stay in a folder of LCM_HOME. The command prints the lcm simulate command that serves
    the same programme again, and the settings to sync it with.
    """
    began_at = time.monotonic()
    today = today or moscow_today()
    if today > moscow_today():
        raise typer.BadParameter(f"--today {today} is in the future: its yesterday has not ended")
    start = today - timedelta(days=days)
    home = _own_home(load_settings(), start, clients)
    config = programme_config(
        start=start, today=today, days=days, clients=clients, seed=_SEED, port=DEFAULT_PORT
    )
    with _serve(config) as programme:
        console.print(
            f"A simulated programme of {counted(clients, 'client')} is served at {programme.url}"
        )
        # Dagster's days begin with the demo's. A step in another process would read the settings
        # of .env, and sync the real programme.
        os.environ |= {"LCM_START_DATE": str(start), "LCM_EXECUTOR": "in_process"}
        defaults = {
            name: field.default
            for name, field in Settings.model_fields.items()
            if name not in _SETTINGS_THAT_APPLY
        }
        own = {"api_url": programme.url, "home": home, "start_date": start}
        mine = load_settings(**(defaults | own))
        with open_warehouse(mine) as warehouse:
            reports = _sync(mine, warehouse, Window(start, today - timedelta(days=1)))
            console.print("\nCompared with the source:")
            verification = verify.verify_clients(mine, warehouse, _VERIFIED)
            print_verification(verification)
            console.print("\nSales and points of each store:")
            with warehouse.connect() as session:
                print_frame(frames.read_frame(session, "demo_answer"))
            _print_next_steps(home, programme, days, time.monotonic() - began_at)
    if verification.differences or not all(report.is_complete for report in reports):
        raise typer.Exit(INCOMPLETE)


def _sync(settings: Settings, warehouse: Warehouse, window: Window) -> list[SyncReport]:
    drop_everything(warehouse)
    migrate(warehouse)
    console.print(f"Syncing {window} into an embedded Postgres, through Dagster")
    with command_progress() as progress:
        reports = launch.materialize_window(settings, warehouse, window, progress)
    print_reports(reports)
    return reports


def _own_home(settings: Settings, start: date, clients: int) -> Path:
    """Return the folder of this demo; removes those of demos with other days or clients."""
    demos = settings.home_path / "demo"
    home = demos / f"{start}-{clients}"
    for other in demos.glob("*"):
        if other != home:
            shutil.rmtree(other, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    return home


def _serve(config: SimulatorConfig) -> RunningSimulator:
    """Serve on the configured port, or on a free one if another program uses it."""
    try:
        return RunningSimulator(config)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return RunningSimulator(msgspec.structs.replace(config, port=0))


def _print_next_steps(home: Path, programme: RunningSimulator, days: int, seconds: float) -> None:
    lcm, here = _as_typed(Path(sys.argv[0])), _as_typed(home)
    served = programme.service.config
    in_checkout = Path("Makefile").exists() and Path("dashboards").exists()
    further = (
        "  make dashboards    the dashboards in Superset, over these rows\n"
        "  README.md    how to point it at the real API, schedule and backfill"
        if in_checkout
        else f"  LCM_HOME={here} {lcm} bundle    the dashboards, for any Superset\n"
        f"  {lcm} init    asks for the settings of the real API, tests them, and writes .env"
    )
    console.print(
        f"\nDone in {seconds:.0f} s. The rows stay in {here}. Next:\n"
        f"  LCM_HOME={here} {lcm} status    what the warehouse contains\n"
        f"{further}\n"
        "\nThe programme is not served any more. To materialize in Dagster, or to sync again, serve"
        " the same one in a second terminal:\n"
        f"  {lcm} simulate --port {urlsplit(programme.url).port} --seed {served.seed}"
        f" --clients {served.clients} --days {days} --start {served.start}"
        f" --today {served.now.date()}\n"
        "and open Dagster with its settings in the first:\n"
        f"  LCM_HOME={here} LCM_API_URL={programme.url} LCM_START_DATE={served.start} {lcm} ui\n"
        "Without --today it continues until today.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _as_typed(path: Path) -> str:
    """Return a path as a user would type it in the current folder."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
