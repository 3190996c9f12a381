"""Kills a push at every point, runs it again, and checks the updates that the source applied.

`python -m tests.crash.push_kills --kills 1000 --seed 1` prints a table and exits with 1 if an
update was lost, was applied out of order for its client, or was applied again after another one.
An episode is identified by its number and the seed: `--only N` plays it again.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.crash import push_victim
from tests.crash.commit_points import (
    FILE_LOADED,
    FILE_LOADING,
    PUSH_POINTS,
    UPDATE_APPLIED,
    UPDATE_ARRIVED,
)
from tests.crash.push_scenes import (
    PushScene,
    Wishes,
    as_csv,
    open_push_scene,
    sequences_of,
    store,
)
from tests.crash.push_victim import PushBlow, PushOrder
from tests.crash.scenes import CONTEXT, outcome_of, quick_folder
from tests.crash.weapons import PROCESS, SESSION
from tests.outbox import outbox

_EPISODES_OF_A_SCENE = 25
_UPDATES = 14
_MAX_RERUNS = 12
_REPORT_EVERY = 100
_FROM_OUTSIDE = (UPDATE_ARRIVED, UPDATE_APPLIED)
_ONCE = frozenset(PUSH_POINTS[:4]) | {PUSH_POINTS[-1]}


@dataclass
class PushEpisode:
    """An outbox, the planned strikes at its pushes, and the results."""

    scene: PushScene
    chance: Random
    blows: list[PushBlow]
    by_file: bool
    struck: list[PushBlow] = field(default_factory=list)
    pushes: int = 0
    slowest: float = 0.0
    problems: list[str] = field(default_factory=list)

    def play(self) -> None:
        """Strike and push again until all updates are settled; then compare."""
        scene = self.scene
        wishes = scene.wish(self.chance, _UPDATES, once_each=self.by_file)
        applied = scene.simulator.world.profiles.updates
        first = len(applied)
        scene.disturb(self.chance)
        with scene.clone() as warehouse:
            if not self.by_file:
                store(warehouse, wishes)
            self._push_until_done(warehouse, as_csv(wishes) if self.by_file else None)
            self._compare(wishes, warehouse, applied[first:])

    def _push_until_done(self, warehouse: Warehouse, file: bytes | None) -> None:
        left = list(self.blows)
        for _ in range(len(left) + _MAX_RERUNS):
            blow = left.pop(0) if left else None
            began = time.monotonic()
            kind, what = self._push(warehouse, file, blow)
            self.slowest = max(self.slowest, time.monotonic() - began)
            if kind == "stuck":
                self.problems.append(f"stuck: {what}")
            if kind == "done" and not what and not left:
                return
        self.problems.append("not done after all pushes")

    def _push(
        self, warehouse: Warehouse, file: bytes | None, blow: PushBlow | None
    ) -> tuple[str, Any]:
        scene = self.scene
        # The push fuse waits for a decision of a person; here the next push must go on at once.
        settings = {"concurrency": self.chance.choice((1, 3, 8)), "push_fuse": 1.0}
        order = PushOrder(scene.simulator.url, warehouse.url, scene.home, settings, file, blow)
        self.pushes += 1
        if blow is not None and blow.point == UPDATE_APPLIED:
            scene.hold_response(blow.nth)
            process, pipe = _start(order)
            _kill_once(process, lambda: scene.has_struck)
        elif blow is not None and blow.point == UPDATE_ARRIVED:
            wanted = scene.apply_late() + blow.nth
            process, pipe = _start(order)
            _kill_once(process, lambda: scene.arrived >= wanted)
            scene.apply_at_once()
        else:
            process, pipe = _start(order)
        messages = outcome_of(process, pipe)
        if blow is not None and messages[0][0] in ("struck", "killed"):
            self.struck.append(blow)
        scene.release_responses()
        return messages[-1]

    def _compare(self, wishes: Wishes, warehouse: Warehouse, applied: list[dict[str, Any]]) -> None:
        got, wanted = sequences_of(applied), wishes.sequences
        for client in sorted(got.keys() | wanted.keys()):
            if got.get(client) != wanted.get(client):
                self.problems.append(
                    f"client {client}: applied {got.get(client)}, wanted {wanted.get(client)}"
                )
        rows = outbox(warehouse)
        if [row["status"] for row in rows][: len(wishes.statuses)] != wishes.statuses:
            self.problems.append(f"statuses {[row['status'] for row in rows]} {wishes.statuses}")
        attempts = outbox(warehouse, "attempts")
        if len(attempts) < len(applied):
            self.problems.append(f"{len(applied)} applied, but {len(attempts)} attempts stored")
        overlapping = self.scene.simulator.service.traffic.counts()["overlapping_updates"]
        if overlapping:
            self.problems.append(f"{overlapping} updates of a client were in flight together")


def _kill_once(process: ForkServerProcess, is_time: Callable[[], bool]) -> None:
    """Kill from outside, for moments that the process itself cannot see."""
    while process.is_alive():
        if is_time():
            process.kill()
            process.join()
            return
        time.sleep(0.005)


def _start(order: PushOrder) -> tuple[ForkServerProcess, Connection]:
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=push_victim.run, args=(order, sender))
    process.start()
    sender.close()
    return process, receiver


def blows_for(number: int, chance: Random, *, by_file: bool) -> list[PushBlow]:
    """Draw three to six strikes: points in turn, so that all occur; the rest at random."""
    points = [p for p in PUSH_POINTS if by_file or p not in (FILE_LOADING, FILE_LOADED)]
    blows = []
    for turn in range(chance.randint(3, 6)):
        point = points[(number + turn * 5) % len(points)]
        nth = 1 if point in _ONCE else chance.randint(1, 4)
        weapon = SESSION if chance.random() < 0.1 and point not in _FROM_OUTSIDE else PROCESS
        blows.append(PushBlow(point, nth, weapon))
    return blows


def play(scene: PushScene, *, seed: int, number: int) -> PushEpisode:
    """Play the episode with this number in this scene."""
    chance = Random(f"push {seed} {number}")
    by_file = number % 3 == 0
    episode = PushEpisode(scene, chance, blows_for(number, chance, by_file=by_file), by_file)
    episode.play()
    return episode


@dataclass
class PushCampaign:
    """Episodes until there were `wanted` kills, and their results."""

    seed: int
    wanted: int
    kills: Counter[str] = field(default_factory=Counter)
    losses: int = 0
    pushes: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    _taken: int = 0
    _lock: Lock = field(default_factory=Lock)

    @property
    def is_over(self) -> bool:
        """Whether there were enough kills."""
        return self.kills.total() >= self.wanted

    def next_round(self) -> range:
        """The episodes that share a scene."""
        with self._lock:
            first = self._taken
            self._taken += _EPISODES_OF_A_SCENE
        return range(first, first + _EPISODES_OF_A_SCENE)

    def count(self, number: int, episode: PushEpisode) -> None:
        """Add an episode."""
        with self._lock:
            before = self.kills.total()
            self.kills.update(b.point for b in episode.struck if b.weapon == PROCESS)
            self.losses += sum(b.weapon == SESSION for b in episode.struck)
            self.pushes += episode.pushes
            self.slowest = max(self.slowest, episode.slowest)
            lines = [f"episode {number} of seed {self.seed}: {one}" for one in episode.problems]
            self.wrong += lines
            if before // _REPORT_EVERY < self.kills.total() // _REPORT_EVERY:
                lines.append(f"{self.kills.total()} kills, {len(self.wrong)} wrong")
            print(*lines, sep="\n", end="\n" if lines else "", flush=True)

    def show(self) -> str:
        """The table as text."""
        lines = [f"{point:<18}{self.kills[point]:>7}" for point in PUSH_POINTS]
        lines.append(f"{'together':<18}{self.kills.total():>7}")
        lines.append(
            f"also {self.losses} sessions lost; {self.pushes} pushes; {len(self.wrong)} wrong"
        )
        return "\n".join(lines)


def _work(campaign: PushCampaign, url: str, home: Path) -> None:
    while not campaign.is_over:
        numbers = campaign.next_round()
        with open_push_scene(url, home, seed=campaign.seed * 1000 + numbers[0]) as scene:
            for number in numbers:
                if campaign.is_over:
                    break
                campaign.count(number, play(scene, seed=campaign.seed, number=number))


def main(arguments: list[str]) -> int:
    """Parse the arguments and run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.crash.push_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="the number of one episode")
    options = parser.parse_args(arguments)
    campaign = PushCampaign(options.seed, options.kills)
    began = time.monotonic()
    with quick_folder() as home, embedded_postgres(home) as url:
        if options.only is not None:
            first = options.only - options.only % _EPISODES_OF_A_SCENE
            with open_push_scene(url, home, seed=options.seed * 1000 + first) as scene:
                campaign.count(options.only, play(scene, seed=options.seed, number=options.only))
        else:
            with ThreadPoolExecutor(options.workers) as pool:
                list(pool.map(lambda _: _work(campaign, url, home), range(options.workers)))
    print(campaign.show())
    print(f"{time.monotonic() - began:.0f} s; slowest push {campaign.slowest:.1f} s")
    return 1 if campaign.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
