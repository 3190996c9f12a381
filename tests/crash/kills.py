"""Kills a sync at every commit point, runs the same command again, and counts what is wrong.

`python -m tests.crash.kills --kills 1000 --seed 1` prints a table and ends with 1 when a row was
lost or doubled, a day seen half published, or more asked again than was in flight.
`--only N` runs one episode again.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from lcm_pipeline.warehouse.embedded import embedded_postgres
from tests.crash import weapons
from tests.crash.asking import RepeatCounter, asked_since, unfinished_feeds
from tests.crash.commit_points import ANYWHERE, POINTS
from tests.crash.contents import compare, contents, insane_versions
from tests.crash.scenes import Scene, open_scene, outcome_of, start_victim, watched_tables
from tests.crash.tallies import Table
from tests.crash.victim import Blow
from tests.crash.watching import watching
from tests.syncing import FEEDS

_MOST_RERUNS = 6
_EPISODES_OF_A_SCENE = 25
# One strike in so many is at a random time instead of at a point.
_SHARE_ANYWHERE = 0.1


@dataclass
class Campaign:
    """Episodes until there were so many strikes."""

    seed: int
    wanted: int
    table: Table = field(default_factory=Table)
    struck: int = 0
    slowest_rerun: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next: int = 0

    def episodes(self) -> Iterator[int]:
        """The numbers of the episodes that one worker takes."""
        for _ in range(self.wanted * 2):
            with self._lock:
                if self.struck >= self.wanted:
                    return
                self._next += 1
                number = self._next
            yield number

    def count(self, point: str, weapon: str, *, again: int) -> None:
        """Count a strike."""
        with self._lock:
            self.struck += 1
            line = self.table.line(point)
            line.strikes += 1
            if weapon in weapons.CRASHING:
                line.again_after_crash = max(line.again_after_crash, again)
            else:
                line.again = max(line.again, again)


def blows_for(scene: Scene, beginning: str, number: int, chance: Random) -> list[Blow]:
    """One to four strikes: points in turn, so that each is met; feeds, moments, weapons by lot."""
    tallies = scene.endings[beginning].tallies
    blows = []
    for turn in range(chance.randint(1, 4)):
        point = POINTS[(number + turn * 5) % len(POINTS)]
        feeds = [feed for feed in FEEDS if tallies.get((feed, point))]
        if chance.random() < _SHARE_ANYWHERE or not feeds:
            blows.append(Blow("", ANYWHERE, 0, weapons.PROCESS))
            continue
        feed = chance.choice(feeds)
        nth = chance.randint(1, tallies[feed, point])
        weapon = chance.choice((weapons.PROCESS,) * 4 + weapons.WEAPONS)
        blows.append(Blow(feed, point, nth, weapon))
    return blows


def run_episode(
    campaign: Campaign, scene: Scene, number: int, blows: list[Blow] | None = None
) -> None:
    """One database: strike, run again until it is done, and hold it against a clean run."""
    chance = Random(f"episode {campaign.seed} {number}")
    beginning = scene.beginnings[chance.randrange(len(scene.beginnings))]
    ending = scene.endings[beginning]
    planned = blows_for(scene, beginning, number, chance) if blows is None else blows
    tables = {feed: watched_tables(feed) for feed in FEEDS}
    with scene.clone(beginning) as database:
        warehouse = scene.warehouse(database)
        with watching(warehouse, tables, pause=0.03) as watcher:
            problems = _strike_until_done(campaign, scene, database, planned, beginning, chance)
        lost, surplus = compare(ending.contents, contents(warehouse))
        half = sum(bool(watcher.seen[feed] - set(ending.digests[feed])) for feed in FEEDS)
        half += watcher.torn > 0
        problems += [f"{insane} versions overlap" for insane in [insane_versions(warehouse)] if insane]
        problems += _leftovers(scene, database)
    point = planned[-1].point if planned else ANYWHERE
    line = campaign.table.line(point)
    line.lost, line.doubled, line.half = (
        line.lost + len(lost), line.doubled + len(surplus), line.half + half,
    )  # fmt: skip
    if lost or surplus or half or problems:
        rows = [*problems, *lost[:2], *surplus[:2]]
        campaign.table.wrong.append(
            f"episode {number} of seed {campaign.seed}, {planned}:"
            f" lost {len(lost)}, surplus {len(surplus)}, half {half}, {rows}"
        )


def _strike_until_done(
    campaign: Campaign,
    scene: Scene,
    database: str,
    planned: list[Blow],
    beginning: str,
    chance: Random,
) -> list[str]:
    """Run the command as often as it takes; answers what went wrong on the way."""
    repeats = RepeatCounter(scene.clean_asked[beginning])
    left, problems = list(planned), []
    asked_since(scene.simulator)
    for _ in range(len(planned) + _MOST_RERUNS):
        blow = left.pop(0) if left else None
        began = time.monotonic()
        told = _attempt(scene, database, blow, chance)
        was_struck = any(kind in ("struck", "killed") for kind, _ in told)
        again = repeats.add(asked_since(scene.simulator), unfinished_feeds(scene.warehouse(database)))
        if blow and was_struck:
            campaign.count(blow.point, blow.weapon, again=0)
        kind, what = told[-1]
        if kind == "stuck":
            problems.append(str(what))
        if again:
            _judge_repeats(campaign, scene, planned, again, problems)
        if kind == "done" and not left:
            campaign.slowest_rerun = max(campaign.slowest_rerun, time.monotonic() - began)
            return problems
        if kind == "failed" and blow is None:
            problems.append(f"a rerun without a strike failed: {what}")
        campaign.table.line(planned[0].point if planned else ANYWHERE).reruns += 1
    return [*problems, "not done after all reruns"]
