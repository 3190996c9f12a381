"""The setting of a strike: an embedded server, a small programme, databases to start from.

A scene has two beginnings, an empty warehouse and one that was synced before the source changed,
and the result of a clean run from each. A victim works on a clone.
"""

import itertools
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.feeds import feed_named
from lcm_pipeline.model.windows import Window
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.migrations import migrate
from tests.crash import victim
from tests.crash.contents import Contents, contents, digest
from tests.crash.repeats import RequestCounts, requests_since
from tests.crash.victim import Blow, Order, address_of
from tests.integration.embedded_users import answers
from tests.oracle import differences
from tests.syncing import FEEDS
from tests.waiting import PATIENCE, wait_for

START, STOP = date(2026, 3, 1), datetime(2026, 3, 8, 12)
WINDOW = Window(START, date(2026, 3, 12))
_ACTIONS = ("insert_top", "insert_middle", "insert_tail", "delete_random", "change", "change")
# `clients` belongs to two feeds; `cards` are published together with the registrations.
_TABLES = {
    name: [table.name for table in feed_named(name).tables if table.name != "clients"]
    + ["cards"] * feed_named(name).is_by_day
    for name in FEEDS
}
_MEMORY = Path("/dev/shm")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ending:
    """The result of a clean run.

    contents: all rows. digests: the states of each feed that a reader may see, before and after.
    tallies: how often each feed reaches each point. requests: per reading.
    """

    contents: Contents
    digests: dict[str, tuple[str, str]]
    tallies: dict[tuple[str, str], int]
    requests: RequestCounts


@dataclass
class Scene:
    """One programme and the databases to start from, on one embedded server."""

    url: str
    home: Path
    simulator: RunningSimulator
    settings: dict[str, Any]
    beginnings: tuple[str, ...] = ()
    endings: dict[str, Ending] = field(default_factory=dict)

    def order(self, database: str, feeds: Sequence[str], blow: Blow | None = None) -> Order:
        """The order for a victim."""
        return Order(
            self.simulator.url, self.home, database, WINDOW, tuple(feeds), self.settings, blow
        )

    def warehouse(self, database: str) -> Warehouse:
        """A database of the scene, without taps."""
        return Warehouse(address_of(self.url, database))

    @contextmanager
    def clone(self, beginning: str) -> Iterator[str]:
        """Clone the database of a beginning; yields the name of the clone."""
        name = f"scene_{os.getpid()}_{next(_numbers)}"
        self._administer("create database {} template {}", name, beginning)
        # Without it a crash resets the clone's sequences to the values of the template.
        self._administer("checkpoint")
        try:
            yield name
        finally:
            self._administer("drop database {} with (force)", name)

    def await_server(self) -> None:
        """Wait until the server accepts connections, which takes some time after a crash."""
        wait_for(lambda: answers(self.url), lambda: "the server did not come back")

    def _administer(self, statement: str, *names: str) -> None:
        self.await_server()
        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute(SQL(statement).format(*map(Identifier, names)))


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A temporary folder for servers, in memory if possible: kills do not need a disk."""
    parent = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lcm-crash-", dir=parent) as name:
        yield Path(name)


def digest_of(scene: Scene, database: str, feed: str) -> str:
    """The digest of the tables of a feed, as a reader sees them now."""
    with scene.warehouse(database).connect() as session:
        return digest(session, _TABLES[feed])


def watched_tables(feed: str) -> list[str]:
    """The tables that change together when a feed is published."""
    return _TABLES[feed]


@contextmanager
def open_scene(url: str, home: Path, *, seed: int, clients: int = 10) -> Iterator[Scene]:
    """Make a programme, sync it once, change it, and record the results of clean runs."""
    chance = Random(f"scene {seed}")
    settings = {
        "page_length": chance.choice((6, 40, 500)),
        "concurrency": chance.choice((1, 4, 8)),
        "audit_share": 1.0,
        # The first load of the scene's few rows takes many batches, some, or one transaction.
        "publish_batch_rows": Random(f"batches {seed}").choice((6, 40, 100_000)),
    }
    config = build_config(start=START, now=STOP, clients=clients, seed=seed)
    with RunningSimulator(config) as simulator:
        scene = Scene(url, home, simulator, settings)
        empty, synced = (f"{kind}_{os.getpid()}_{next(_numbers)}" for kind in ("empty", "synced"))
        scene._administer("create database {}", empty)
        migrate(scene.warehouse(empty))
        scene._administer("create database {} template {}", synced, empty)
        _run_clean(scene, synced)
        _change_source(simulator, chance)
        scene.beginnings = (empty, synced)
        for beginning in scene.beginnings:
            scene.endings[beginning] = _ending_of(scene, beginning)
        yield scene
        for beginning in scene.beginnings:
            scene._administer("drop database {} with (force)", beginning)


def _change_source(simulator: RunningSimulator, chance: Random) -> None:
    world = simulator.world
    world.advance(days=1.5)
    clients = sorted({row["Client"] for row in world.truth()["operations"]})
    for _ in range(14):
        world.mutate(
            chance.choice(_ACTIONS),
            chance.choice(clients),
            kind=chance.choice(("operations", "operations", "leads", "offers")),
        )


def _ending_of(scene: Scene, beginning: str) -> Ending:
    with scene.clone(beginning) as database:
        before = {feed: digest_of(scene, database, feed) for feed in FEEDS}
        requests_since(scene.simulator)
        tallies = _run_clean(scene, database)
        requests = requests_since(scene.simulator)
        after = {feed: digest_of(scene, database, feed) for feed in FEEDS}
        wrong = differences(
            scene.simulator.world.truth(), scene.warehouse(database), last=WINDOW.last
        )
        assert not wrong, f"a clean run is not exact: {[str(one) for one in wrong[:5]]}"
        rows = contents(scene.warehouse(database))
    return Ending(rows, {feed: (before[feed], after[feed]) for feed in FEEDS}, tallies, requests)


def _run_clean(scene: Scene, database: str) -> dict[tuple[str, str], int]:
    process, pipe = start_victim(scene.order(database, FEEDS))
    kind, detail = outcome_of(process, pipe)[-1]
    assert kind == "done", detail
    return dict(detail)


CONTEXT = multiprocessing.get_context("forkserver")
# A child imports the main program again; these modules are then already loaded.
CONTEXT.set_forkserver_preload(
    [victim.__name__, "lcm_pipeline.api.client", "tests.crash.push_scenes"]
)


def start_victim(order: Order) -> tuple[ForkServerProcess, Connection]:
    """Fork a victim from a warm server; it reports its progress on the pipe."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=victim.run, args=(order, sender))
    process.start()
    sender.close()
    return process, receiver


def outcome_of(
    process: ForkServerProcess, pipe: Connection, *, within: float = PATIENCE
) -> list[tuple[str, Any]]:
    """Wait for a victim's end; returns its messages, at least `("killed", exit code)`."""
    process.join(within)
    if process.is_alive():
        process.kill()
        process.join()
        return [*_messages_on(pipe), ("stuck", f"not done within {within} s")]
    messages = _messages_on(pipe)
    if not messages or messages[-1][0] == "struck":
        messages.append(("killed", process.exitcode))
    process.close()
    return messages


def _messages_on(pipe: Connection) -> list[tuple[str, Any]]:
    messages = []
    with pipe:
        while pipe.poll():
            try:
                messages.append(pipe.recv())
            except EOFError:
                break
    return messages
