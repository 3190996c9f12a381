"""Simulated programmes that are synced once per session and queried by many tests."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from tests.databases import cloned_warehouse
from tests.marts.author import Author
from tests.marts.hard_edges import write_hard_edges
from tests.marts.stories import START, Story
from tests.marts.worlds import Synced, empty_world, random_world, sync


@pytest.fixture(scope="session")
def by_chance(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Synced]:
    """A random programme of three months, as synced at the last midnight."""
    with (
        cloned_warehouse(postgres, template) as warehouse,
        random_world(warehouse, tmp_path_factory.mktemp("random")) as synced,
    ):
        yield synced


@pytest.fixture(scope="session")
def by_hand(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Synced]:
    """The hand-made edge cases, as synced at the midnight after 2026-03-10."""
    first, last = date(2026, 1, 1), date(2026, 3, 10)
    with (
        cloned_warehouse(postgres, template) as warehouse,
        empty_world(first, datetime(2026, 3, 11)) as simulator,
    ):
        write_hard_edges(Author(simulator))
        sync(simulator, warehouse, tmp_path_factory.mktemp("hand"), first, last)
        yield Synced(simulator, warehouse, first, last)


@pytest.fixture(params=["by_hand", "by_chance"])
def synced(request: pytest.FixtureRequest) -> Synced:
    """Each of the two programmes."""
    found: Synced = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def story(warehouse: Warehouse, tmp_path: Path) -> Iterator[Story]:
    """A programme without clients on its first night, and an empty warehouse."""
    with empty_world(START, datetime(2026, 3, 1, 1)) as simulator:
        yield Story(simulator, warehouse, tmp_path)
