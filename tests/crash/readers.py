"""Publishes repeatedly while readers query: does one ever see a torn day?

`python -m tests.crash.readers --publishes 1000` changes the source and publishes, in turns. Each
reader reads the same tables twice within a transaction at repeatable read; the states that it saw
are compared with the published ones. Exits with 1 if a reader saw any other state.
"""

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random

import psycopg

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.crash.contents import digest, torn_clients
from tests.crash.fault_cases import FaultScene, Saboteur
from tests.crash.scenes import open_scene, quick_folder

_TABLES = ["operations", "leads"]
_ACTIONS = ("insert_top", "insert_middle", "delete_random", "change", "change")


@dataclass
class Reader:
    """A reader with its own session and thread. readings: the number of its readings."""

    warehouse: Warehouse
    seen: set[str] = field(default_factory=set)
    readings: int = 0
    torn: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)
    _is_ending: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read for the length of the context."""
        thread = threading.Thread(target=self._read, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_ending.set()
            thread.join()

    def _read(self) -> None:
        try:
            with self.warehouse.connect(autocommit=True) as session:
                # A reader that is locked out fails instead of waiting.
                session.execute("set lock_timeout = '1ms'")
                while not self._is_ending.is_set():
                    self._read_once(session)
        except psycopg.Error as error:
            self.failures.append(str(error))

    def _read_once(self, session: psycopg.Connection) -> None:
        with session.transaction():
            session.execute("set transaction isolation level repeatable read")
            began = time.monotonic()
            first = digest(session, _TABLES)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self._is_ending.wait(0.005)
            self.torn += digest(session, _TABLES) != first
            self.torn += torn_clients(session)
        self.seen.add(first)
        self.readings += 1


@dataclass
class Outcome:
    """The observations of all readers of a run."""

    publishes: int
    states: int
    readings: int
    torn: int
    slowest: float
    failures: list[str]


def publish_and_read(
    scene: FaultScene, database: str, *, publishes: int, readers: int, seed: int
) -> Outcome:
    """Change the source and publish `publishes` times while readers query."""
    world, chance = scene.scene.simulator.world, Random(f"readers {seed}")
    warehouse = scene.scene.warehouse(database)
    clients = sorted({row["Client"] for row in world.truth()["operations"]})
    saboteur, states, done = Saboteur(), set(), 0
    watchers = [Reader(warehouse) for _ in range(readers)]
    with ExitStack() as stack, warehouse.connect(autocommit=True) as own:
        states.add(digest(own, _TABLES))
        for watcher in watchers:
            stack.enter_context(watcher.reading())
        while done < publishes:
            kind = chance.choice(("operations", "operations", "leads"))
            for client in clients:
                world.mutate(chance.choice(_ACTIONS), client, kind=kind)
            scene.sync(database, kind, saboteur)
            states.add(digest(own, _TABLES))
            done += 1
    seen = set().union(*(watcher.seen for watcher in watchers))
    return Outcome(
        publishes=done,
        states=len(states),
        readings=sum(watcher.readings for watcher in watchers),
        torn=sum(watcher.torn for watcher in watchers) + len(seen - states),
        slowest=max(watcher.slowest for watcher in watchers),
        failures=[text for watcher in watchers for text in watcher.failures],
    )


def main(arguments: list[str]) -> int:
    """Parse the arguments and run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.crash.readers", description=__doc__)
    parser.add_argument("--publishes", type=int, default=1000)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with (
        quick_folder() as folder,
        embedded_postgres(folder) as url,
        open_scene(url, folder, seed=options.seed, clients=5) as scene,
        scene.clone(scene.beginnings[1]) as database,
    ):
        outcome = publish_and_read(
            FaultScene(scene),
            database,
            publishes=options.publishes,
            readers=options.readers,
            seed=options.seed,
        )
    print(outcome)
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if outcome.torn or outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
