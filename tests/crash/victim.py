"""One command in a separate process: syncs feeds and is struck at the point that its order names.

`python -m tests.crash.victim API_URL HOME DATABASE FIRST LAST FEED...` runs one without a strike.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from lcm_pipeline.feeds import feed_named
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.crash import weapons
from tests.crash.taps import TappedWarehouse, tapped_api

Report = Callable[[str, Any], None]


@dataclass(frozen=True)
class Blow:
    """Strike with a weapon when a feed reaches a point for the `nth` time."""

    feed: str
    point: str
    nth: int
    weapon: str


@dataclass(frozen=True)
class Order:
    """The task of a victim. home: of the embedded server; database: the victim's one there."""

    api_url: str
    home: Path
    database: str
    window: Window
    feeds: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    blow: Blow | None = None
    through_dagster: Path | None = None


@dataclass
class Striker:
    """Counts the reached points, and strikes at the point of the order."""

    order: Order
    report: Report
    reached_so_far: Counter[tuple[str, str]] = field(default_factory=Counter)
    session: psycopg.Connection[Any] | None = None
    is_spent: bool = False

    def before(self, text: str, session: psycopg.Connection[Any]) -> None:
        self.session = session

    def after(self, text: str, session: psycopg.Connection[Any]) -> None:
        self.session = session

    def reached(self, point: str, feed: str, session: psycopg.Connection[Any] | None) -> None:
        """Count a point; strike once."""
        self.reached_so_far[feed, point] += 1
        blow, count = self.order.blow, self.reached_so_far[feed, point]
        if self.is_spent or blow is None:
            return
        if (blow.feed, blow.point, blow.nth) != (feed, point, count):
            return
        self.is_spent = True
        self.report("struck", (feed, point))
        weapons.strike(blow.weapon, self.order.home, session or self.session)


def run(order: Order, pipe: Connection) -> None:
    """The main function of a victim's process.

    Sends `struck`, then `done`, `failed` or `interrupted`, unless it is killed.
    """
    # A background job ignores interrupts, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    striker = Striker(order, lambda kind, what: pipe.send((kind, what)))
    try:
        with embedded_postgres(order.home) as url:
            warehouse = TappedWarehouse(address_of(url, order.database), striker)
            _sync(order, warehouse, striker)
    except (SyncError, psycopg.Error, OSError) as error:
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
        return
    except KeyboardInterrupt:
        pipe.send(("interrupted", None))
        return
    pipe.send(("done", striker.reached_so_far))


def address_of(url: str, database: str) -> str:
    """The URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def settings_of(order: Order, warehouse: TappedWarehouse) -> Settings:
    """The settings of a victim: small, fast defaults, overridden by those of the order."""
    fields = {"concurrency": 4, "delete_fuse": 1.0, "timeout": 20, "lookback_days": 60}
    for name in [name for name in os.environ if name.startswith("LCM_")]:
        del os.environ[name]
    return load_settings(
        api_url=order.api_url,
        home=order.through_dagster or order.home,
        database_url=warehouse.url,
        **{**fields, **order.settings},
    )


def _sync(order: Order, warehouse: TappedWarehouse, striker: Striker) -> None:
    settings = settings_of(order, warehouse)
    if order.through_dagster is not None:
        from tests.crash.dagster_victim import materialize

        materialize(settings, warehouse, order.window, striker)
        return
    engine = SyncEngine(settings, warehouse, open_api=tapped_api(striker))
    feeds = [feed_named(name) for name in order.feeds]
    command_id = engine.begin_command(feeds, order.window)
    # As the steps of a Dagster run in one process do, see `SyncResource.sync_feed`.
    for feed in feeds:
        if feed.is_by_day:
            engine.sync(feed, order.window, command_id=command_id)
    of_clients = [feed for feed in feeds if not feed.is_by_day]
    with closing(
        engine.begin_concurrent(of_clients, order.window, command_id=command_id)
    ) as syncing:
        for feed in of_clients:
            syncing.report(feed)


class _PrintingPipe:
    """Prints messages instead of sending them."""

    def send(self, message: Any) -> None:
        print(*message, flush=True)


def main(arguments: list[str]) -> None:
    """Parse the arguments and run."""
    url, home, database, first, last, *feeds = arguments
    window = Window(date.fromisoformat(first), date.fromisoformat(last))
    order = Order(url, Path(home), database, window, tuple(feeds))
    run(order, _PrintingPipe())  # type: ignore[arg-type]


if __name__ == "__main__":
    main(sys.argv[1:])
