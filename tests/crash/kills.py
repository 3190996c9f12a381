"""Kills a sync at every commit point, runs the same command again, and counts what is wrong.

`python -m tests.crash.kills --kills 1000 --seed 1` prints a table and exits with 1 if a row was
lost or doubled, a day was seen half published, or more was requested again than was in flight.
An episode is identified by its number and the seed: `--only N` plays it again.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from random import Random
from threading import Lock

from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.crash.commit_points import ANYWHERE, PARTITION_MARKED, POINTS
from tests.crash.episodes import Episode
from tests.crash.partition_marks import kill_at_marks
from tests.crash.scenes import Scene, open_scene, quick_folder
from tests.crash.tallies import Table
from tests.crash.victim import Blow
from tests.crash.weapons import PROCESS, WEAPONS
from tests.syncing import FEEDS

_EPISODES_OF_A_SCENE = 25
_REPORT_EVERY = 100
# The share of strikes that are at a random time instead of at a point.
_SHARE_ANYWHERE = 0.1


@dataclass
class Campaign:
    """Episodes until there were `wanted` strikes."""

    seed: int
    wanted: int
    table: Table = field(default_factory=Table)
    slowest: float = 0.0
    _struck: int = 0
    _taken: int = 0
    _lock: Lock = field(default_factory=Lock)

    def rounds(self) -> Iterator[range]:
        """Yield the numbers of the next episodes of a worker, as many as share a scene."""
        while not self.is_over:
            with self._lock:
                first = self._taken
                self._taken += _EPISODES_OF_A_SCENE
            yield range(first, first + _EPISODES_OF_A_SCENE)

    @property
    def is_over(self) -> bool:
        """Whether there were enough strikes."""
        return self._struck >= self.wanted

    def count(self, number: int, episode: Episode) -> None:
        """Add an episode to the table."""
        with self._lock:
            before, self._struck = self._struck, self._struck + len(episode.struck)
            if before // _REPORT_EVERY < self._struck // _REPORT_EVERY:
                print(f"{self._struck} strikes, {len(self.table.wrong)} wrong", flush=True)
            self.slowest = max(self.slowest, episode.slowest)
            reported = len(self.table.wrong)
            episode.count_in(self.table, f"episode {number} of seed {self.seed}")
            for wrong in self.table.wrong[reported:]:
                print("WRONG:", wrong, flush=True)


def blows_for(scene: Scene, beginning: str, number: int, chance: Random) -> list[Blow]:
    """Draw one to four strikes: points in turn, so that all occur; the rest at random."""
    tallies = scene.endings[beginning].tallies
    blows = []
    for turn in range(chance.randint(1, 4)):
        point = POINTS[(number + turn * 5) % len(POINTS)]
        feeds = [feed for feed in FEEDS if tallies.get((feed, point))]
        if chance.random() < _SHARE_ANYWHERE or not feeds:
            blows.append(Blow("", ANYWHERE, chance.randint(1, 900), PROCESS))
            continue
        feed = chance.choice(feeds)
        nth = chance.randint(1, tallies[feed, point])
        blows.append(Blow(feed, point, nth, chance.choice((PROCESS,) * 4 + WEAPONS)))
    return blows


def play(scene: Scene, *, seed: int, number: int) -> Episode:
    """Play the episode with this number in this scene."""
    chance = Random(f"episode {seed} {number}")
    beginning = chance.choice(scene.beginnings)
    episode = Episode(scene, beginning, blows_for(scene, beginning, number, chance))
    episode.play()
    return episode


def _work(campaign: Campaign, folder: Path) -> None:
    """Play episodes on a separate server, with a new scene for each round."""
    with embedded_postgres(folder) as url:
        for numbers in campaign.rounds():
            with open_scene(url, folder, seed=_scene_seed(campaign, numbers[0])) as scene:
                for number in takewhile(lambda _: not campaign.is_over, numbers):
                    campaign.count(number, play(scene, seed=campaign.seed, number=number))


def _work_once(campaign: Campaign, folder: Path, number: int) -> None:
    with (
        embedded_postgres(folder) as url,
        open_scene(url, folder, seed=_scene_seed(campaign, number)) as scene,
    ):
        campaign.count(number, play(scene, seed=campaign.seed, number=number))


def _scene_seed(campaign: Campaign, number: int) -> int:
    return campaign.seed * 1000 + number // _EPISODES_OF_A_SCENE


def _kill_at_marks(campaign: Campaign, folder: Path, count: int) -> None:
    """Kill around Dagster's mark; these kills are slower than the others."""
    line = campaign.table.line(PARTITION_MARKED)
    with (
        embedded_postgres(folder) as url,
        open_scene(url, folder, seed=campaign.seed) as scene,
    ):
        wrong = kill_at_marks(scene, count, line, campaign.seed)
        campaign.table.wrong += wrong
        print(*(f"WRONG: {one}" for one in wrong), sep="\n", flush=True)


def main(arguments: list[str]) -> int:
    """Parse the arguments and run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.crash.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="the number of one episode")
    parser.add_argument(
        "--marks", type=int, default=0, help="additional kills around Dagster's mark"
    )
    options = parser.parse_args(arguments)
    campaign = Campaign(options.seed, options.kills)
    began = time.monotonic()
    with quick_folder() as home, ThreadPoolExecutor(options.workers) as pool:
        folders = [home / str(number) for number in range(options.workers)]
        if options.only is not None:
            _work_once(campaign, folders[0], options.only)
        else:
            list(pool.map(lambda folder: _work(campaign, folder), folders))
        if options.marks:
            _kill_at_marks(campaign, folders[0], options.marks)
    print(campaign.table.show("point"))
    print(f"{time.monotonic() - began:.0f} s; slowest attempt {campaign.slowest:.1f} s")
    return 1 if campaign.table.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
