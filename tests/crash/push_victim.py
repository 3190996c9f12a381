"""One `lcm push` in a separate process, struck at the point that its order names.

It does the same as the command, with sessions and a client that report each moment. A request that
outlives its process is over after SERVICE_TIMEOUT_SECONDS here, because the scenes respond quickly.
"""

import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg

from lcm_pipeline.push.csv_file import read_updates
from lcm_pipeline.push.push import WriteBack
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse.outbox.push_lock import PushRunningError
from tests.crash import weapons
from tests.crash.taps import TappedWarehouse, tapped_api

SERVICE_TIMEOUT_SECONDS = 0.9


@dataclass(frozen=True)
class PushBlow:
    """Strike when a point is reached for the `nth` time."""

    point: str
    nth: int
    weapon: str = weapons.PROCESS


@dataclass(frozen=True)
class PushOrder:
    """The task of a victim. file: the content of a CSV file, or None to push pending updates."""

    api_url: str
    database_url: str
    home: Path
    settings: dict[str, Any] = field(default_factory=dict)
    file: bytes | None = None
    blow: PushBlow | None = None


@dataclass
class PushStriker:
    """Counts the reached points, and strikes at the point of the order."""

    order: PushOrder
    pipe: Connection
    reached_so_far: Counter[str] = field(default_factory=Counter)
    session: psycopg.Connection[Any] | None = None
    is_spent: bool = False

    def before(self, text: str, session: psycopg.Connection[Any]) -> None:
        self.session = session

    def after(self, text: str, session: psycopg.Connection[Any]) -> None:
        self.session = session

    def reached(self, point: str, feed: str, session: psycopg.Connection[Any] | None) -> None:
        """Count a point; strike once."""
        self.reached_so_far[point] += 1
        blow = self.order.blow
        if self.is_spent or blow is None or blow.point != point:
            return
        if blow.nth == self.reached_so_far[point]:
            self.is_spent = True
            self.pipe.send(("struck", point))
            weapons.strike(blow.weapon, self.order.home, session or self.session)


def run(order: PushOrder, pipe: Connection) -> None:
    """The main function of a victim's process.

    Sends `struck`, then `done`, `failed` or `interrupted`, unless it is killed.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("LCM_")]:
        del os.environ[name]
    striker = PushStriker(order, pipe)
    warehouse = TappedWarehouse(order.database_url, striker)
    settings = load_settings(
        api_url=order.api_url, database_url=order.database_url, home=order.home, timeout=20,
        **order.settings,
    )  # fmt: skip
    write_back = WriteBack(
        settings,
        warehouse,
        open_api=tapped_api(striker),
        service_timeout_seconds=SERVICE_TIMEOUT_SECONDS,
    )
    file = None if order.file is None else read_updates(order.file)
    try:
        report = write_back.push(file=file)
    except (SyncError, PushRunningError, psycopg.Error, OSError) as error:
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
        return
    except KeyboardInterrupt:
        pipe.send(("interrupted", None))
        return
    pipe.send(("done", (report.unknown + report.held_back + report.left_over)))
