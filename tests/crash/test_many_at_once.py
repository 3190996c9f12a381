"""Several processes sync the same days, and readers query while it is published repeatedly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

import pytest

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.crash.contents import compare, contents, overlapping_versions
from tests.crash.fault_cases import FaultScene
from tests.crash.readers import publish_and_read
from tests.crash.scenes import (
    WINDOW,
    Scene,
    open_scene,
    outcome_of,
    quick_folder,
    start_victim,
    watched_tables,
)
from tests.crash.watching import watching
from tests.oracle import differences
from tests.syncing import FEEDS

_OVERLAPPING = [
    Window(date(2026, 3, 1), date(2026, 3, 12)),
    Window(date(2026, 3, 4), date(2026, 3, 12)),
    Window(date(2026, 3, 12), date(2026, 3, 12)),
    Window(date(2026, 3, 2), date(2026, 3, 9)),
]


@contextmanager
def _small_scene() -> Iterator[Scene]:
    with (
        quick_folder() as folder,
        embedded_postgres(folder) as url,
        open_scene(url, folder, seed=5, clients=6) as scene,
    ):
        yield scene


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with _small_scene() as scene:
        yield scene


def _sync_at_once(scene: Scene, database: str, windows: list[Window]) -> None:
    order = scene.order(database, FEEDS)
    tables = {feed: watched_tables(feed) for feed in FEEDS}
    with watching(scene.warehouse(database), tables) as watcher:
        started = [start_victim(replace(order, window=window)) for window in windows]
        outcomes = [outcome_of(*one)[-1] for one in started]
    assert [outcome for outcome in outcomes if outcome[0] != "done"] == []
    assert watcher.readings > 0
    assert (watcher.torn, watcher.locked_out) == (0, 0)
    assert overlapping_versions(scene.warehouse(database)) == 0


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize("processes", [2, 4, 8])
@pytest.mark.parametrize("beginning", [0, 1])
def test_processes_that_sync_the_same_days_produce_one_correct_result(
    scene: Scene, processes: int, beginning: int
) -> None:
    with scene.clone(scene.beginnings[beginning]) as database:
        _sync_at_once(scene, database, [WINDOW] * processes)
        rows = contents(scene.warehouse(database))
        assert compare(scene.endings[scene.beginnings[beginning]].contents, rows) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("beginning", [0, 1])
def test_processes_that_sync_overlapping_days_produce_one_correct_result(
    scene: Scene, beginning: int
) -> None:
    with scene.clone(scene.beginnings[beginning]) as database:
        _sync_at_once(scene, database, _OVERLAPPING)
        truth = scene.simulator.world.truth()
        assert differences(truth, scene.warehouse(database), last=WINDOW.last) == []


@pytest.mark.slow
def test_a_reader_never_sees_a_torn_day() -> None:
    with _small_scene() as scene, scene.clone(scene.beginnings[1]) as database:
        outcome = publish_and_read(FaultScene(scene), database, publishes=40, readers=2, seed=1)
    assert (outcome.torn, outcome.failures) == (0, [])
    assert outcome.readings > 0
