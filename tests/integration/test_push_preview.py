"""A dry run: what it says comes true, and nothing is sent or stored by it."""

from typing import Any

from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.previewing import preview_push
from lcm_pipeline.transform.update_files import read_updates
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings, Programme
from tests.outbox import ask_for, enrol, outbox, write_back


def everything(warehouse: Warehouse) -> list[Any]:
    return [outbox(warehouse, table) for table in ("profile_updates", "pushes", "attempts")]


def wish(warehouse: Warehouse, source: RunningSimulator) -> list[int]:
    clients = enrol(warehouse, source)
    ask_for(
        warehouse,
        [
            (clients[0], {"name": "Анна", "gender": 1}),
            (clients[0], {"name": "Анна", "gender": -1}),
            (clients[0], {"name": "Анна"}),
            (clients[1], {"phone": 5, "name": "Я" * 30}),
            (424242, {"name": "Анна"}),
            (clients[2], {"allow_sms": False, "pos_code": "1"}),
        ],
    )
    return clients


def test_a_dry_run_tells_per_field_what_a_push_then_does(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=10)
    wish(warehouse, source)
    before = everything(warehouse)
    settings = make_settings(source, warehouse)
    preview = preview_push(settings, warehouse)
    assert everything(warehouse) == before
    assert source.world.profiles.updates == []
    assert (preview.to_send, preview.unchanged, preview.rejected) == (3, 1, 2)
    assert preview.sent_fields == {"name": 1, "gender": 2, "allow_sms": 1, "pos_code": 1}
    assert preview.unchanged_fields == {"name": 2}
    assert preview.rejected_fields == {"phone": 1, "name": 1}
    assert [(one.name, one.client_id) for one in preview.listed_rejected] == [
        ("update 4", before[0][3]["client_id"]),
        ("update 5", 424242),
    ]
    report = write_back(settings, warehouse).push()
    assert (report.sent, report.unchanged, report.rejected) == (3, 1, 2)


def test_the_rows_of_a_file_are_looked_at_after_what_is_pending(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=10)
    clients = enrol(warehouse, source)
    ask_for(warehouse, [(clients[0], {"name": "Анна"})])
    lines = f"{clients[0]},Анна\n{clients[1]},Ольга\n1,Инна\n"
    file = read_updates(f"client_id,name\n{lines}".encode())
    preview = preview_push(make_settings(source, warehouse), warehouse, file=file)
    assert (preview.to_send, preview.unchanged, preview.rejected) == (2, 1, 1)
    assert [one.name for one in preview.listed_to_send] == ["update 1", "line 3"]
    assert [one.name for one in preview.listed_rejected] == ["line 4"]
    assert len(outbox(warehouse)) == 1


def test_a_limit_holds_for_a_dry_run_too(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=10)
    wish(warehouse, source)
    assert preview_push(make_settings(source, warehouse), warehouse, most=2).to_send == 2
