"""Two programmes with random conventions; `make points` compares twenty and more."""

from itertools import islice
from pathlib import Path

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from tests.marts.random_points import World, deviations, random_worlds

TOLD = [world for world in islice(random_worlds(1), 20) if world.is_told]


@pytest.mark.slow
@pytest.mark.parametrize("world", TOLD[:2], ids=str)
def test_each_month_is_exact_where_the_rows_tell_everything(
    world: World, warehouse: Warehouse, tmp_path: Path
) -> None:
    assert deviations(world, warehouse, tmp_path) == {}
