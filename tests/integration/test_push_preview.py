"""A dry run predicts what a push does, and sends and stores nothing."""

from typing import Any

from lcm_pipeline.push.csv_file import read_updates
from lcm_pipeline.push.preview import preview_push
from lcm_pipeline.simulator.server import RunningSimulator
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


def test_a_dry_run_shows_per_field_what_a_push_does(
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
    assert sorted({n for one in preview.reasons.values() for n in one.updates}) == [4, 5]
    report = write_back(settings, warehouse).push()
    assert (report.sent, report.unchanged, report.rejected) == (3, 1, 2)


def test_rows_of_a_file_are_previewed_after_pending_updates(
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
    assert [one.lines for one in preview.reasons.values()] == [[4]]
    assert len(outbox(warehouse)) == 1


def test_a_limit_applies_to_a_dry_run(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=10)
    wish(warehouse, source)
    assert preview_push(make_settings(source, warehouse), warehouse, most=2).to_send == 2


def test_all_unreadable_rows_are_listed_with_every_reason(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=10)
    clients = enrol(warehouse, source)
    lines = f"{clients[0]},Анна,\n{clients[1]},{'Я' * 30},x\nx,nan,9000000001\n1,Оля,x\n"
    file = read_updates(f"client_id,name,phone\n{lines}".encode())
    preview = preview_push(make_settings(source, warehouse), warehouse, file=file, most=1)
    assert (preview.to_send, preview.rejected) == (1, 3)
    reasons: dict[int, list[str]] = {}
    for reason, rejects in preview.reasons.items():
        for line in rejects.lines:
            reasons.setdefault(line, []).append(reason.partition(":")[0])
    assert {line: sorted(of_line) for line, of_line in reasons.items()} == {
        3: ["name", "phone"],
        4: ["client_id", "name"],
        5: ["phone", "the warehouse does not know the client"],
    }
    unread = [rejects for reason, rejects in preview.reasons.items() if "phone: exp" in reason]
    assert [rejects.lines for rejects in unread] == [[3, 5]]
    assert "Анна" not in repr(preview)
    shown = preview_push(make_settings(source, warehouse), warehouse, file=file, lists_values=True)
    assert shown.listed_to_send[0].values == {"name": "Анна"}
    assert "Анна" not in repr(shown)
