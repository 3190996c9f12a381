"""One changed row is found, named and repaired: a few thousand here, a million in the long run."""

from pathlib import Path

from lcm_pipeline.warehouse.connection import Warehouse
from tests.verification.million import open_scene, play


def test_one_changed_row_among_many_is_found_named_and_repaired(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    clients, rows = 40, 60
    with open_scene(warehouse.url, tmp_path, clients=clients, rows=rows) as scene:
        ended = list(play(scene, clients=clients, rows=rows))
    assert [(one.words[0], one.code) for one in ended] == [
        ("sync", 0), ("verify", 3), ("verify", 0), ("verify", 0), ("verify", 0),
    ]  # fmt: skip
    # One request for each client and endpoint; the repaired client is read and compared again.
    assert ended[1].requests == 3 * clients
    assert ended[2].requests <= 3 * clients + 8
