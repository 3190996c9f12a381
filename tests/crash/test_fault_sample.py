"""Every kind of failure at a few points: `python -m tests.crash.faults` tries every point."""

from collections.abc import Iterator
from random import Random

import pytest

from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from tests.crash.fault_cases import HTTP_KINDS, SQL_KINDS, Case, FaultScene, open_fault_scene
from tests.crash.scenes import quick_folder
from tests.syncing import FEEDS


@pytest.fixture(scope="module")
def scene() -> Iterator[FaultScene]:
    with (
        quick_folder() as folder,
        embedded_postgres(folder) as url,
        open_fault_scene(url, folder, seed=2, is_first=False) as scene,
    ):
        yield scene


def _check_failure(scene: FaultScene, kind: str, feed: str, most: int) -> None:
    verdict = scene.play(Case(feed, kind, Random(f"{kind} {feed}").randint(1, most)))
    assert verdict.was_met
    assert (verdict.lost, verdict.surplus, verdict.problems) == ([], [], [])


@pytest.mark.sampled(4)
@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_a_failed_call_loses_no_row(scene: FaultScene, kind: str) -> None:
    feed = FEEDS[[*HTTP_KINDS].index(kind) % len(FEEDS)]
    _check_failure(scene, kind, feed, scene.sizes[feed][0])


@pytest.mark.sampled(4)
@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("kind", SQL_KINDS)
def test_a_failed_statement_loses_no_row(scene: FaultScene, kind: str, feed: str) -> None:
    _check_failure(scene, kind, feed, scene.sizes[feed][1])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["deadlock", "connection lost before"])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_transient_error_of_the_first_statements_is_retried(
    scene: FaultScene, kind: str, n: int
) -> None:
    """These look for keys and erased persons, before any run begins."""
    verdict = scene.play(Case(FEEDS[0], kind, n))
    assert (verdict.was_met, verdict.reruns) == (True, 0)
