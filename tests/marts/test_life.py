"""Random life for a few days; `make life` simulates sixty and more."""

from pathlib import Path

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from tests.marts.life import assert_as_if_computed_anew, live
from tests.marts.worlds import Synced


@pytest.mark.slow
def test_after_days_of_random_life_the_marts_equal_a_full_computation(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    assert live(warehouse, tmp_path, days=4, seed=1, compare_every=2) == 3


def test_the_marts_of_a_golden_world_equal_a_full_computation(synced: Synced) -> None:
    assert_as_if_computed_anew(synced.warehouse, "as synced")
