"""Pushes against the simulator and a real Postgres: what is sent, in which order and how often."""

import threading
import time
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from lcm_pipeline.feeds import OPERATIONS
from lcm_pipeline.push.csv_file import read_updates
from lcm_pipeline.push.push import PushStoppedError, WriteBack
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.outbox import push_lock
from lcm_pipeline.warehouse.outbox.load import load_file
from lcm_pipeline.warehouse.outbox.push_lock import PushRunningError
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.conftest import MakeSettings, Programme
from tests.outbox import applied, ask_for, enrol, outbox, profile, statuses, write_back
from tests.syncing import MARCH
from tests.waiting import wait_for


@pytest.fixture
def source(programme: Programme) -> RunningSimulator:
    return programme(clients=30)


@pytest.fixture
def clients(warehouse: Warehouse, source: RunningSimulator) -> list[int]:
    """All clients of the source, on the roster."""
    return enrol(warehouse, source, phones=True)


@pytest.fixture
def back(warehouse: Warehouse, source: RunningSimulator, make_settings: MakeSettings) -> WriteBack:
    return write_back(make_settings(source, warehouse), warehouse)


def with_settings(back: WriteBack, **changes: Any) -> WriteBack:
    return replace(back, settings=back.settings.model_copy(update=changes))


def fail(source: RunningSimulator, kind: Any, **rule: Any) -> None:
    source.service.faults.set((FaultRule(kind=kind, endpoint="ClientUpdate", **rule),))


def names_sent(source: RunningSimulator, client: int) -> list[str]:
    return [update["Name"] for update in applied(source, client) if "Name" in update]


def test_pending_updates_are_sent_and_recorded(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(
        warehouse,
        [(clients[0], {"name": "Ольга", "allow_sms": False}), (clients[1], {"gender": -1})],
    )
    report = back.push()
    assert (report.status, report.sent, report.concerns) == ("done", 2, 0)
    assert statuses(warehouse) == ["sent", "sent"]
    held = profile(source, clients[0])
    assert (held["Name"], held["AllowSms"]) == ("Ольга", False)
    assert profile(source, clients[1])["Gender"] == -1
    first, _ = outbox(warehouse, "attempts")
    assert (first["outcome"], first["error_code"]) == ("sent", 0)
    assert first["field_names"] == ["allow_sms", "name"]
    (push,) = outbox(warehouse, "pushes")
    assert (push["status"], push["sent_count"], push["request_count"]) == ("done", 2, 2)


@pytest.mark.parametrize("api_format", ["json", "xml"])
def test_every_field_is_sent(
    source: RunningSimulator,
    clients: list[int],
    warehouse: Warehouse,
    back: WriteBack,
    api_format: str,
) -> None:
    fields = {
        "name": "Анна", "surname": "О'Нил", "patronymic": "Ильинична", "allow_sms": True,
        "allow_email": False, "birthdate": "1990-05-31", "phone": 9000000017,
        "email": "анна@example.org", "gender": -1, "allow_email_online_cheque": True,
        "contragent_id": "00-<17>&", "pos_code": "12",
    }  # fmt: skip
    ask_for(warehouse, [(clients[0], fields)])
    assert with_settings(back, api_format=api_format).push().sent == 1
    held = profile(source, clients[0])
    assert [held[name] for name in ("Name", "Surname", "Patronymic")] == [
        "Анна", "О'Нил", "Ильинична",
    ]  # fmt: skip
    assert (held["Birthdate"], held["Phone"], held["Gender"]) == ("1990-05-31", 9000000017, -1)
    assert (held["Email"], held["ContragentId"]) == ("анна@example.org", "00-<17>&")
    assert (held["AllowSms"], held["AllowEmail"], held["AllowEmailOnlineCheque"]) == (
        True, False, True,
    )  # fmt: skip
    assert applied(source)[0]["PosCode"] == "12"


def test_an_unset_consent_is_not_sent(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(clients[0], {"email": "new@example.org"})])
    back.push()
    (update,) = applied(source)
    assert not {name for name in update if name.startswith("Allow")}


def test_invalid_updates_never_reach_the_api(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    bad = [
        {"phone": 89123456789}, {"name": "Я" * 21}, {"email": "a@b"}, {"name": ""}, {"gender": 7},
        {"gender": 0}, {"birthdate": "infinity"}, {"birthdate": "0044-03-15 BC"}, {},
        {"name": "Анна", "phone": 1},
    ]  # fmt: skip
    ask_for(warehouse, [(clients[n], fields) for n, fields in enumerate(bad)])
    ask_for(warehouse, [(424242, {"name": "Анна"})])
    report = back.push()
    assert (report.rejected, report.requests) == (len(bad) + 1, 0)
    assert source.world.profiles.updates == []
    rows = outbox(warehouse)
    assert {row["status"] for row in rows} == {"rejected"}
    assert all(row["last_error"] and row["attempts"] == 0 for row in rows)
    assert "does not know the client" in rows[-1]["last_error"]


def test_fields_equal_to_those_last_sent_are_not_sent_again(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(clients[0], {"name": "Анна", "gender": 1})])
    back.push()
    ask_for(
        warehouse,
        [(clients[0], {"name": "Анна", "gender": -1}), (clients[0], {"name": "Анна"})],
    )
    report = back.push()
    assert (report.sent, report.unchanged, report.requests) == (1, 1, 1)
    assert applied(source)[1] == {"Client": clients[0], "Gender": -1, "Message": None}
    last = outbox(warehouse)[-1]
    assert (last["status"], last["sent_values"], last["attempts"]) == ("sent", {}, 0)


def test_an_email_of_another_client_makes_the_update_partial(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    taken = next(row["Email"] for row in source.world.profile_rows() if row["Email"])
    wish = {"email": taken, "name": "Анна"}
    other = next(c for c in clients if profile(source, c)["Email"] != taken)
    ask_for(warehouse, [(other, wish), (other, wish)])
    report = back.push()
    assert (report.partial, report.sent) == (2, 0)
    assert len(applied(source, other)) == 2
    assert "e-mail" in outbox(warehouse)[0]["last_error"]


def test_a_refused_update_does_not_block_the_next_of_its_client(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    other = next(row["Phone"] for row in source.world.profile_rows()
                 if row["Phone"] and row["Client"] != clients[0])  # fmt: skip
    ask_for(warehouse, [(clients[0], {"phone": other}), (clients[0], {"name": "Анна"})])
    report = back.push()
    assert (report.failed, report.sent) == (1, 1)
    refused = outbox(warehouse, "attempts")[0]
    assert (refused["outcome"], refused["error_code"]) == ("failed", 8)
    assert refused["error_class"] == "BusinessError"


@pytest.mark.parametrize("applied_before", [True, False])
@pytest.mark.parametrize("kind", ["reset", "disconnect", "server_error", "html_with_200"])
def test_an_update_with_a_lost_response_is_resent_before_the_next(
    source: RunningSimulator,
    clients: list[int],
    warehouse: Warehouse,
    back: WriteBack,
    kind: str,
    applied_before: bool,
) -> None:
    ask_for(warehouse, [(clients[0], {"name": name}) for name in ("Анна", "Ольга", "Анна")])
    fail(source, kind, nth=1, applied=applied_before)
    report = back.push()
    assert (report.sent, report.concerns) == (3, 0)
    again = ["Анна"] if applied_before else []
    assert names_sent(source, clients[0]) == [*again, "Анна", "Ольга", "Анна"]
    outcomes = [one["outcome"] for one in outbox(warehouse, "attempts")]
    assert outcomes == ["unknown", "sent", "sent", "sent"]


def test_an_update_without_a_response_blocks_its_client_until_it_has_one(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(
        warehouse,
        [(clients[0], {"name": "Анна"}), (clients[1], {"name": "Ольга"}),
         (clients[0], {"name": "Иван"})],
    )  # fmt: skip
    fail(source, "server_error", client=clients[0])
    report = back.push()
    assert (report.sent, report.unknown, report.held_back) == (1, 1, 1)
    assert statuses(warehouse) == ["sending", "sent", "pending"]
    source.service.faults.set(())
    assert back.push().sent == 2
    assert names_sent(source, clients[0]) == ["Анна", "Иван"]


def test_a_resent_update_has_the_values_of_its_first_attempt(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(clients[0], {"name": "Анна"})])
    fail(source, "reset", applied=True)
    with pytest.raises(PushStoppedError, match="no usable response"):
        back.push()
    assert statuses(warehouse) == ["sending"]
    with warehouse.connect() as session:
        session.execute("update outbox.profile_updates set name = 'Ольга'")
    source.service.faults.set(())
    back.push()
    assert set(names_sent(source, clients[0])) == {"Анна"}


def test_a_lost_update_is_not_resent_before_the_service_has_abandoned_it(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(clients[0], {"name": "Анна"})])
    fail(source, "reset", nth=1)
    began = time.monotonic()
    assert replace(back, service_timeout_seconds=1.0).push().sent == 1
    assert time.monotonic() - began >= 1.0
    first, second = outbox(warehouse, "attempts")
    assert (second["began_at"] - first["ended_at"]).total_seconds() >= 0.99


def test_an_unreachable_service_leaves_everything_pending(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(clients[0], {"name": "Анна"}), (clients[0], {"name": "Ольга"})])
    source.stop()
    with pytest.raises(PushStoppedError, match="no usable response"):
        back.push()
    assert statuses(warehouse) == ["pending", "pending"]
    assert outbox(warehouse)[0]["sent_values"] is None
    assert {one["outcome"] for one in outbox(warehouse, "attempts")} == {"not sent"}


@pytest.mark.parametrize("kind", ["forbidden", "unauthorized"])
def test_without_write_permission_no_update_is_lost(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack, kind: str
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    fail(source, kind)
    with pytest.raises(PushStoppedError):
        back.push()
    assert set(statuses(warehouse)) == {"pending"}


def test_a_wrong_token_leaves_everything_pending(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=30, token="424242")
    clients = enrol(warehouse, source)
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    wrong = make_settings(source, warehouse, token="1", push_canary=5)
    with pytest.raises(PushStoppedError, match="refused every update"):
        write_back(wrong, warehouse).push()
    assert set(statuses(warehouse)) == {"pending"}
    right = make_settings(source, warehouse, token="424242")
    assert write_back(right, warehouse).push().sent == len(clients)


def test_updates_of_a_client_are_sent_one_at_a_time_and_in_order(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    wishes = [(client, {"name": f"Анна{number}"}) for number in range(12) for client in clients[:6]]
    ask_for(warehouse, wishes)
    source.service.desk.quirks = type(source.service.desk.quirks)(latency_ms=5)
    report = with_settings(back, concurrency=16).push()
    assert report.sent == len(wishes)
    for client in clients[:6]:
        assert names_sent(source, client) == [f"Анна{number}" for number in range(12)]
    counts = source.service.traffic.counts()
    assert counts["overlapping_updates"] == 0
    assert counts["in_flight_maximum"] > 1


def test_failing_first_updates_stop_the_rest(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    fail(source, "message_half_rows", every=2)
    with pytest.raises(PushStoppedError, match="5 of the first 10 updates failed") as stopped:
        with_settings(back, push_canary=10, push_fuse=0.4).push()
    assert len(source.world.profiles.updates) == 10
    report = stopped.value.report
    assert (report.sent, report.partial, report.left_over) == (5, 5, len(clients) - 10)
    assert with_settings(back, push_canary=10, push_fuse=0.5).push().left_over == 0


def test_an_outage_in_the_middle_stops_the_rest(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    source.service.faults.set(
        tuple(FaultRule(kind="server_error", client=client) for client in clients[6:])
    )
    with pytest.raises(PushStoppedError, match="in a row"):
        with_settings(back, push_canary=5, concurrency=2).push()
    assert statuses(warehouse).count("pending") >= len(clients) - 6 - 12


def test_no_more_updates_are_sent_than_the_limit(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(424242, {"name": "Анна"})])
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    report = back.push(most=7)
    assert (report.sent, report.rejected, report.left_over) == (7, 1, len(clients) - 7)
    assert [row["status"] for row in outbox(warehouse)][1:8] == ["sent"] * 7


def test_updates_added_during_a_push_wait_for_the_next_one(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients[:10]])

    class AddsUpdates:
        def start(self, feed: str, total: int, done: int) -> None:
            ask_for(warehouse, [(clients[20], {"name": "Поздно"})])

        def advance(self, feed: str, count: int) -> None: ...

        def fail(self, feed: str, count: int) -> None: ...

        def finish(self, feed: str) -> None: ...

    assert replace(back, progress=AddsUpdates()).push().sent == 10
    assert statuses(warehouse)[-1] == "pending"


def test_two_pushes_at_once_are_refused(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    file = read_updates(f"client_id,name\n{clients[0]},Анна\n".encode())
    with ReconnectingSession(warehouse, "the first") as reconnecting:
        push_lock.acquire_push_lock(reconnecting)
        with pytest.raises(PushRunningError, match="another lcm push is running"):
            back.push(file=file)
    assert outbox(warehouse) == []


def test_a_push_that_lost_its_connection_continues_unless_another_took_over(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    source.service.desk.quirks = type(source.service.desk.quirks)(latency_ms=20)
    ending = threading.Timer(0.3, lambda: _end_sessions(warehouse, "lcm push"))
    ending.start()
    report = with_settings(back, concurrency=1).push()
    ending.join()
    assert report.sent == len(clients)


def test_a_push_whose_lock_was_taken_over_sends_nothing_more(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    source.service.desk.quirks = type(source.service.desk.quirks)(latency_ms=50)

    def take_over() -> None:
        with psycopg.connect(warehouse.url, autocommit=True) as second:
            threading.Timer(0.2, lambda: _end_sessions(warehouse, "lcm push")).start()
            # At once, so that the lock is its own the moment that the first has lost it.
            while not locks.try_exclusive(second, "push"):
                pass
            second.execute("update outbox.pushes set status = 'died', finished_at = now()")

    taking = threading.Timer(0.3, take_over)
    taking.start()
    with pytest.raises(SyncError, match="another push"):
        with_settings(back, concurrency=1).push()
    taking.join()
    assert len(source.world.profiles.updates) < len(clients)
    assert [push["status"] for push in outbox(warehouse, "pushes")] == ["died"]


def test_a_late_older_update_does_not_restore_old_values(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    insert = "insert into outbox.profile_updates (client_id, name, gender) values (%s, %s, %s)"
    with warehouse.connect() as late:
        late.execute(insert, (clients[0], "Старое", None))
        late.execute(insert, (clients[0], None, 1))
        ask_for(warehouse, [(clients[0], {"name": "Новое"})])
        assert back.push().sent == 1
        late.commit()
    report = back.push()
    assert (report.sent, report.rejected) == (1, 1)
    assert profile(source, clients[0])["Name"] == "Новое"
    assert "newer update" in outbox(warehouse)[0]["last_error"]


def test_an_update_that_is_being_edited_is_left_for_later(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(clients[0], {"name": "Анна"}), (clients[1], {"name": "Ольга"})])
    with warehouse.connect() as editor:
        editor.execute("update outbox.profile_updates set name = 'Инна' where client_id = %s",
                       (clients[0],))  # fmt: skip
        report = back.push()
    assert (report.sent, report.left_over) == (1, 1)
    assert back.push().sent == 1
    assert names_sent(source, clients[0]) == ["Инна"]


def test_a_file_is_not_loaded_twice_while_its_rows_wait(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    lines = "".join(f"{client},Анна\n" for client in clients[:4])
    file = read_updates(f"client_id,name\n{lines}".encode())
    assert back.push(file=file, most=1).left_over == 3
    assert back.push(file=file).sent == 3
    assert len(outbox(warehouse)) == 4
    again = back.push(file=file)
    assert (again.unchanged, again.requests) == (4, 0)


def test_a_file_with_unreadable_rows_is_loaded_once(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    lines = "".join(
        f"{client},Анна,{'x' if n == 1 else ''}\n" for n, client in enumerate(clients[:4])
    )
    file = read_updates(f"client_id,name,phone\n{lines}".encode())
    first = back.push(file=file, most=1)
    assert (first.sent, first.rejected, first.left_over) == (1, 1, 2)
    second = back.push(file=file)
    assert (second.sent, second.rejected) == (2, 0)
    assert [(row["status"], row["push_id"]) for row in outbox(warehouse)] == [
        ("sent", 1), ("rejected", 1), ("sent", 2), ("sent", 2),
    ]  # fmt: skip


def test_rows_rejected_by_a_killed_load_belong_to_the_next_push(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    file = read_updates(f"client_id,name,phone\n{clients[0]},Анна,x\n".encode())
    with warehouse.connect(autocommit=True) as session:
        assert load_file(session, file) == 1
        assert load_file(session, file) == 0
    report = back.push(file=file)
    assert (report.rejected, len(outbox(warehouse))) == (1, 1)


def test_spreadsheet_errors_in_the_outbox_are_rejected_row_by_row(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    bad = ["#Н/Д", "NULL", "nan", "None", "<NA>", r"\N", "\ufffd\ufffd", "????", "=A1", " #REF! "]
    ask_for(warehouse, [(clients[n], {"name": name}) for n, name in enumerate(bad)])
    ask_for(warehouse, [(clients[10], {"email": "a@example.ru\u200b", "name": "Анна"})])
    ask_for(warehouse, [(clients[11], {"name": "Нан"}), (clients[12], {"name": "\u00a0Оля  "})])
    report = back.push()
    assert (report.rejected, report.sent, report.requests) == (len(bad) + 1, 2, 2)
    assert profile(source, clients[12])["Name"] == "Оля"
    errors = " ".join(row["last_error"] or "" for row in outbox(warehouse))
    assert not [name for name in (*bad, "a@example") if name in errors]


def test_surrounding_spaces_are_no_change(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(clients[0], {"name": "Оля"}), (clients[1], {"name": "Ира"})])
    back.push()
    with warehouse.connect() as session:
        session.execute(
            """update outbox.profile_updates set sent_values = '{"name": " Ира "}'
            where update_id = 2"""
        )
    file = f'client_id,name\n{clients[0]},"  Оля "\n{clients[1]},Ира\u00a0\n'
    report = back.push(file=read_updates(file.encode()))
    assert (report.unchanged, report.sent, report.requests) == (2, 0, 0)


@pytest.mark.slow
def test_the_sync_has_priority_and_the_rate_is_never_exceeded(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    rate = 20
    wishes = [(client, {"name": f"А{n}"}) for n in range(4) for client in clients]
    ask_for(warehouse, wishes)
    # Fewer slots than updates that wait for their moment: the push must leave them to the sync.
    pushing = with_settings(back, max_rps=float(rate), concurrency=8, max_in_flight=2)
    report: list[Any] = []
    thread = threading.Thread(target=lambda: report.append(pushing.push()))
    moments = _departures(source)
    thread.start()
    wait_for(lambda: len(source.world.profiles.updates) >= 15)
    SyncEngine(pushing.settings, warehouse).sync(OPERATIONS, MARCH)
    thread.join()
    assert report[0].sent == len(wishes)
    kinds = [kind for _, kind in moments]
    first = kinds.index("ClientInfoPeriod")
    last = len(kinds) - 1 - kinds[::-1].index("OperationHistory")
    assert kinds[:first].count("ClientUpdate") >= 15
    assert kinds[last:].count("ClientUpdate") > 0
    for at, (moment, _) in enumerate(moments):
        within = [kind for one, kind in moments[at:] if one < moment + 0.95]
        assert len({kind == "ClientUpdate" for kind in within}) == 1, "both within a second"
        # On a busy machine requests arrive a little closer together than they left.
        assert len(within) <= rate + 2


def _departures(source: RunningSimulator) -> list[tuple[float, str]]:
    """The time and the endpoint of each request that arrives from now on."""
    moments: list[tuple[float, str]] = []
    arrive = source.service.traffic._count_arrival

    def record(endpoint: str, request: Any, client: Any) -> None:
        moments.append((time.monotonic(), endpoint))
        arrive(endpoint, request, client)

    source.service.traffic._count_arrival = record  # type: ignore[method-assign]
    return moments


def _end_sessions(warehouse: Warehouse, name: str) -> None:
    with psycopg.connect(warehouse.url, autocommit=True) as session:
        session.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where application_name = %s and datname = current_database()",
            (name,),
        )
