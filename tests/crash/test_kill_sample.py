"""A few kills at every commit point; the long run is `python -m tests.crash.kills`."""

from collections.abc import Iterator

import pytest

from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.crash.commit_points import POINTS
from tests.crash.episodes import Episode
from tests.crash.partition_marks import MOST, kill_at_mark
from tests.crash.scenes import Scene, open_scene, quick_folder
from tests.crash.tallies import Line
from tests.crash.victim import Blow
from tests.crash.weapons import BACKEND, BOTH, INTERRUPT, PROCESS, SERVER, SESSION
from tests.syncing import FEEDS

_OTHERS = (SESSION, BACKEND, INTERRUPT, SERVER, BOTH)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with (
        quick_folder() as folder,
        embedded_postgres(folder) as url,
        open_scene(url, folder, seed=4, clients=6) as scene,
    ):
        yield scene


@pytest.mark.sampled(2)
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_sync_that_is_run_again_has_the_result_of_a_clean_one(
    scene: Scene, point: str
) -> None:
    number = POINTS.index(point)
    beginning = scene.beginnings[number % 2]
    tallies = scene.endings[beginning].tallies
    feeds = [feed for feed in FEEDS if tallies.get((feed, point))]
    feed = feeds[number % len(feeds)]
    nth = (tallies[feed, point] + 1) // 2
    blows = [
        Blow(feed, point, nth, PROCESS),
        Blow(feed, point, 1, _OTHERS[number % len(_OTHERS)]),
    ]
    episode = Episode(scene, beginning, blows)
    episode.play()
    assert (episode.lost, episode.surplus, episode.half, episode.problems) == ([], [], 0, [])
    assert episode.struck


@pytest.mark.slow
@pytest.mark.parametrize("nth", [2, MOST - 1])
def test_a_rerun_marks_a_day_whose_mark_was_interrupted(scene: Scene, nth: int) -> None:
    line = Line()
    assert kill_at_mark(scene, nth, line) == []
    assert line.strikes == 1
