"""A push that is killed at every point; the long run is `python -m tests.crash.push_kills`."""

from collections.abc import Iterator
from random import Random

import pytest

from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.crash.commit_points import (
    FILE_LOADED,
    FILE_LOADING,
    PUSH_BEGINNING,
    PUSH_BEGUN,
    PUSH_CLOSED,
    PUSH_POINTS,
    UPDATE_APPLIED,
    UPDATE_ARRIVED,
    UPDATE_CLAIMED,
    UPDATE_CLAIMING,
    UPDATE_REJECTED,
    UPDATE_REQUESTED,
    UPDATE_RESPONDED,
    UPDATE_SETTLED,
)
from tests.crash.push_kills import PushEpisode
from tests.crash.push_scenes import PushScene, open_push_scene
from tests.crash.push_victim import PushBlow
from tests.crash.scenes import quick_folder
from tests.crash.weapons import SESSION


@pytest.fixture(scope="module")
def scene() -> Iterator[PushScene]:
    with (
        quick_folder() as folder,
        embedded_postgres(folder) as url,
        open_push_scene(url, folder, seed=4) as scene,
    ):
        yield scene


# Two points per episode. The points of loading a file need an episode that pushes one.
_PAIRS = (
    (FILE_LOADING, UPDATE_RESPONDED),
    (FILE_LOADED, UPDATE_CLAIMED),
    (PUSH_BEGINNING, UPDATE_APPLIED),
    (PUSH_BEGUN, UPDATE_SETTLED),
    (UPDATE_REJECTED, UPDATE_REQUESTED),
    (UPDATE_CLAIMING, PUSH_CLOSED),
    (UPDATE_ARRIVED, UPDATE_ARRIVED),
)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("points", _PAIRS)
def test_a_killed_push_that_is_run_again_sends_each_update_once_and_in_order(
    scene: PushScene, points: tuple[str, str]
) -> None:
    blows = [PushBlow(point, 1) for point in points]
    by_file = points[0] in (FILE_LOADING, FILE_LOADED)
    episode = PushEpisode(scene, Random(f"sample {points[0]}"), blows, by_file)
    episode.play()
    assert episode.problems == []
    assert episode.struck


@pytest.mark.sampled(1)
@pytest.mark.parametrize("point", [UPDATE_CLAIMED, UPDATE_REQUESTED, UPDATE_SETTLED])
def test_a_push_continues_after_its_session_is_lost(scene: PushScene, point: str) -> None:
    episode = PushEpisode(
        scene, Random("sample session"), [PushBlow(point, 2, SESSION)], by_file=False
    )
    episode.play()
    assert episode.problems == []
    assert [blow.weapon for blow in episode.struck] == [SESSION]


def test_the_sample_meets_every_point() -> None:
    assert {point for pair in _PAIRS for point in pair} == set(PUSH_POINTS)
