"""One changed row among a few thousand is found and repaired; the long run has a million."""

from pathlib import Path

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from tests.verification.million import open_scene, play


@pytest.mark.slow
def test_one_changed_row_among_many_is_found_named_and_repaired(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    clients, rows = 40, 60
    with open_scene(warehouse.url, tmp_path, clients=clients, rows=rows) as scene:
        commands = list(play(scene, clients=clients, rows=rows))
    assert [(one.words[0], one.code) for one in commands] == [
        ("sync", 0), ("verify", 3), ("verify", 0), ("verify", 0), ("verify", 0),
    ]  # fmt: skip
    # One request for each client and endpoint; the repaired client is read and compared again.
    assert commands[1].requests == 3 * clients
    assert commands[2].requests <= 3 * clients + 8
