"""Undoing a push: what is restored, what is kept, and that nothing else changes."""

import pytest

from lcm_pipeline.push.push import PushStoppedError, WriteBack
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.outbox.undo import UndoError
from tests.conftest import MakeSettings
from tests.outbox import applied, ask_for, enrol, outbox, profile, statuses, write_back


@pytest.fixture
def clients(warehouse: Warehouse, source: RunningSimulator) -> list[int]:
    return enrol(warehouse, source, phones=True)


@pytest.fixture
def back(warehouse: Warehouse, source: RunningSimulator, make_settings: MakeSettings) -> WriteBack:
    return write_back(make_settings(source, warehouse), warehouse)


def test_known_values_are_restored_and_the_rest_is_listed(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    phone = profile(source, clients[0])["Phone"]
    ask_for(warehouse, [(clients[0], {"name": "Анна"})])
    back.push()
    ask_for(warehouse, [(clients[0], {"name": "Ольга", "gender": 1, "phone": 9000000017})])
    bad = back.push().push_id
    undo, report = back.undo(bad)
    assert report is not None
    assert (report.sent, report.undo_of) == (1, bad)
    held = profile(source, clients[0])
    assert (held["Name"], held["Phone"]) == ("Анна", phone)
    assert [(one.client_id, one.column, one.reason) for one in undo.obstacles] == [
        (clients[0], "gender", "the value before is not known")
    ]
    assert outbox(warehouse)[-1]["requested_by"] == f"undo of push {bad}"


def test_several_updates_of_a_client_are_undone_to_before_the_first(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(clients[0], {"name": "Анна"})])
    back.push()
    ask_for(warehouse, [(clients[0], {"name": name}) for name in ("Ольга", "Инна")])
    undo, report = back.undo(back.push().push_id)
    assert (undo.obstacles, report and report.sent) == ([], 1)
    assert [one["Name"] for one in applied(source, clients[0])] == ["Анна", "Ольга", "Инна", "Анна"]


def test_an_undo_can_be_undone(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(clients[0], {"name": "Анна"})])
    back.push()
    ask_for(warehouse, [(clients[0], {"name": "Ольга"})])
    second = back.push().push_id
    _, undone = back.undo(second)
    assert undone is not None
    back.undo(undone.push_id)
    assert profile(source, clients[0])["Name"] == "Ольга"


def test_a_second_undo_finds_nothing_to_do(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    for name in ("Анна", "Ольга"):
        ask_for(warehouse, [(clients[0], {"name": name})])
        last = back.push().push_id
    back.undo(last)
    undo, report = back.undo(last)
    assert report is None
    assert "has changed it since" in undo.obstacles[0].reason


def test_later_changes_are_kept(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    for name in ("Анна", "Ольга", "Инна"):
        ask_for(warehouse, [(clients[0], {"name": name})])
        back.push()
    undo, report = back.undo(2)
    assert report is None
    assert undo.obstacles[0].reason == "update 3 has changed it since"
    assert profile(source, clients[0])["Name"] == "Инна"


def test_a_field_with_a_pending_update_is_not_undone(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    for fields in ({"name": "Анна", "gender": 1}, {"name": "Ольга", "gender": -1}):
        ask_for(warehouse, [(clients[0], fields)])
        last = back.push().push_id
    ask_for(warehouse, [(clients[0], {"gender": 1})])
    undo, report = back.undo(last)
    assert report is not None
    assert report.sent == 1
    assert [(one.column, one.reason) for one in undo.obstacles] == [
        ("gender", "update 3 of it waits")
    ]
    assert profile(source, clients[0])["Name"] == "Анна"
    assert statuses(warehouse)[2] == "pending"


def test_an_undo_does_not_send_what_the_fuse_left_pending(
    source: RunningSimulator,
    clients: list[int],
    warehouse: Warehouse,
    make_settings: MakeSettings,
) -> None:
    careful = write_back(make_settings(source, warehouse, push_canary=2), warehouse)
    ask_for(warehouse, [(client, {"surname": "Прежняя"}) for client in clients])
    careful.push()
    ask_for(warehouse, [(client, {"surname": "Ошибка"}) for client in clients])
    source.service.faults.set((FaultRule(kind="message_half_rows", endpoint="ClientUpdate"),))
    with pytest.raises(PushStoppedError) as stopped:
        careful.push()
    source.service.faults.set(())
    _, report = careful.undo(stopped.value.report.push_id)
    assert report is not None
    assert report.sent == 2
    assert {profile(source, client)["Surname"] for client in clients} == {"Прежняя"}
    assert statuses(warehouse).count("pending") == len(clients) - 2


def test_an_interrupted_undo_is_resumed(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    for name in ("Анна", "Ольга"):
        ask_for(warehouse, [(client, {"name": name}) for client in clients])
        last = back.push().push_id
    _, report = back.undo(last, most=3)
    assert report is not None
    assert (report.sent, report.left_over) == (3, len(clients) - 3)
    undo, report = back.undo(last)
    assert undo.is_resumed
    assert report is not None
    assert report.sent == len(clients) - 3
    assert {profile(source, client)["Name"] for client in clients} == {"Анна"}


def test_a_preview_of_an_undo_stores_nothing(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    for name in ("Анна", "Ольга"):
        ask_for(warehouse, [(clients[0], {"name": name, "pos_code": "7"})])
        last = back.push().push_id
    before = outbox(warehouse), outbox(warehouse, "pushes")
    undo = back.preview_undo(last)
    assert {c: sorted(values) for c, values in undo.values.items()} == {clients[0]: ["name"]}
    assert (outbox(warehouse), outbox(warehouse, "pushes")) == before


def test_the_point_of_sale_is_not_restored(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    for name in ("Анна", "Ольга"):
        ask_for(warehouse, [(clients[0], {"name": name, "pos_code": "7"})])
        last = back.push().push_id
    undo, _ = back.undo(last)
    assert undo.obstacles == []
    assert "PosCode" not in applied(source)[-1]


def test_an_unknown_push_cannot_be_undone(back: WriteBack) -> None:
    with pytest.raises(UndoError, match="no push 7"):
        back.undo(7)


def test_an_undo_restores_the_phone_that_the_source_reported_last(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    """A phone that the client changed in a store is restored, not the one sent before."""
    ask_for(warehouse, [(clients[0], {"phone": 9000000017})])
    back.push()
    profiles = source.world.programme.customers[clients[0]].profile
    profiles.Phone = 9000000018
    with warehouse.connect() as session:
        session.execute("update core.clients set phone = 9000000018 where client_id = %s",
                        (clients[0],))  # fmt: skip
        session.execute(
            "insert into sync.client_state (feed, client_id, read_at)"
            " values ('operations', %s, now() + interval '1 second')",
            (clients[0],),
        )
    ask_for(warehouse, [(clients[0], {"phone": 9000000017})])
    report = back.push()
    assert report.sent == 1
    back.undo(report.push_id)
    assert profile(source, clients[0])["Phone"] == 9000000018
