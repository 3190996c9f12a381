"""Odd responses to an update, and exceptions because of them, affect only that update."""

import gzip
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.push import send as sending
from lcm_pipeline.push.push import PushStoppedError, WriteBack
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.replies import Reply
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.simulator.service import Call
from lcm_pipeline.transform.profiles import validate_update
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings
from tests.outbox import HASTY, ask_for, outbox, profile, statuses, write_back

FINE = b'{"ErrorCode":0,"Message":null}'
JSON = "application/json; charset=utf-8"
SECRET = "Евлампия"


@pytest.fixture
def back(warehouse: Warehouse, source: RunningSimulator, make_settings: MakeSettings) -> WriteBack:
    # One at a time, so that the order of the responses is known.
    return write_back(make_settings(source, warehouse, concurrency=1), warehouse)


def respond(source: RunningSimulator, client: int | None, reply: Reply) -> None:
    """Respond to each update of a client, or of every client if None, with one reply."""
    real: Callable[[Call, FaultRule | None], Reply] = source.service.reply

    def odd(call: Call, fault: FaultRule | None) -> Reply:
        is_meant = call.endpoint.name == "ClientUpdate" and client in (None, call.client)
        return reply if is_meant else real(call, fault)

    source.service.reply = odd  # type: ignore[method-assign]


def raising_for(clients: set[int], error: type[Exception]) -> Callable[[Settings], LoyaltyApi]:
    """An `open_api` whose API client raises an error after the request for some clients."""

    class RaisingApi(LoyaltyApi):
        async def call(self, endpoint: Any, request: Any) -> Any:
            response = await super().call(endpoint, request)
            if request.Client in clients:
                raise error(SECRET) from KeyError(SECRET)
            return response

    return lambda settings: RaisingApi.from_settings(settings, policy=HASTY)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("number", [0, 5, 11])
@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, FINE, "application/json; charset=undefined"),
        Reply(200, FINE, "application/json; charset=base64"),
        Reply(200, b"[" * 100_000, JSON),
        Reply(200, b'{"ErrorCode":0,"Message":' + b"[" * 100_000, JSON),
        Reply(200, b"<a>" * 50_000, "application/xml"),
        Reply(200, b'{"ErrorCode":99999999999999999999}', JSON),
        Reply(200, gzip.compress(FINE)[:-9], JSON, (("Content-Encoding", "gzip"),)),
        Reply(200, b"\xff\xfe\x00", "text/plain; charset=utf-16"),
        Reply(503, b"", JSON, (("Retry-After", "Fri, 31 Dec 9999 23:59:59 -2359"),)),
        Reply(503, b"", JSON, (("Retry-After", "9" * 400),)),
    ],
    ids=lambda value: "" if isinstance(value, Reply) else f"client {value}",
)
def test_an_invalid_response_fails_only_its_update(
    source: RunningSimulator,
    clients: list[int],
    warehouse: Warehouse,
    back: WriteBack,
    reply: Reply,
    number: int,
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    respond(source, clients[number], reply)
    report = back.push()
    assert report.status == "done"
    assert set(statuses(warehouse)[:number] + statuses(warehouse)[number + 1 :]) == {"sent"}
    assert statuses(warehouse)[number] in ("sent", "sending", "failed")
    ask_for(warehouse, [(client, {"surname": "Ким"}) for client in clients])
    later = back.push()
    assert later.status == "done"
    assert later.sent >= len(clients) - 1


def test_an_unexpected_exception_fails_its_update_which_is_not_retried(
    source: RunningSimulator,
    clients: list[int],
    warehouse: Warehouse,
    back: WriteBack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ask_for(warehouse, [(client, {"name": SECRET}) for client in clients])
    ask_for(warehouse, [(clients[0], {"name": "Ольга"})])
    odd = replace(back, open_api=raising_for({clients[0]}, ZeroDivisionError))
    with caplog.at_level(logging.ERROR):
        report = odd.push()
    assert (report.status, report.sent) == ("done", len(clients) - 1)
    rows = outbox(warehouse)
    assert [row["status"] for row in rows[1:-1]] == ["sent"] * (len(clients) - 1)
    assert rows[0]["status"] == "failed"
    assert rows[0]["last_error"] == "an unexpected ZeroDivisionError: the log says where"
    assert "in call" in caplog.text
    assert "KeyError" in caplog.text
    assert len(caplog.records) == 1
    assert SECRET not in caplog.text
    again = back.push()
    assert (again.status, again.unknown, again.failed) == ("done", 0, 0)
    assert profile(source, clients[0])["Name"] == "Ольга"


def test_an_undo_reverts_an_update_that_failed_after_a_lost_response(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    back.push()
    ask_for(warehouse, [(client, {"name": "Ольга"}) for client in clients])
    report = replace(back, open_api=raising_for({clients[0]}, ZeroDivisionError)).push()
    assert report.failed == 1
    assert profile(source, clients[0])["Name"] == "Ольга"
    back.undo(report.push_id)
    assert {profile(source, client)["Name"] for client in clients} == {"Анна"}


def test_an_update_with_an_unreadable_response_is_not_retried_for_ever(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    respond(source, clients[0], Reply(200, b"<h1>no</h1>", "text/html"))
    ask_for(warehouse, [(clients[0], {"name": "Анна"})])
    for number in range(4):
        assert statuses(warehouse)[0] in ("pending", "sending")
        ask_for(warehouse, [(client, {"name": f"А{number}"}) for client in clients[1:]])
        back.push()
    assert statuses(warehouse)[0] == "failed"
    assert "HTML" in outbox(warehouse)[0]["last_error"]


def test_a_late_copy_of_a_failed_update_does_not_overtake_the_next(
    clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(clients[1], {"name": "Ира"}), (clients[0], {"name": "Анна"})])
    ask_for(warehouse, [(clients[2], {"name": "Ира"}), (clients[3], {"name": "Ира"})])
    ask_for(warehouse, [(clients[0], {"surname": "Ким"})])
    odd = replace(
        back, open_api=raising_for({clients[0]}, ZeroDivisionError), service_timeout_seconds=0.5
    )
    odd.push()
    last = [one for one in outbox(warehouse, "attempts") if one["update_id"] == 2][-1]
    later = next(one for one in outbox(warehouse, "attempts") if one["update_id"] == 5)
    assert last["outcome"] == "failed"
    assert (later["began_at"] - last["began_at"]).total_seconds() >= 0.49


def test_an_exception_for_every_update_stops_the_push_and_fails_none(
    clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    odd = replace(
        back,
        settings=back.settings.model_copy(update={"push_canary": 5, "concurrency": 2}),
        open_api=raising_for(set(clients), ZeroDivisionError),
    )
    with pytest.raises(PushStoppedError, match="unexpected ZeroDivisionError"):
        odd.push()
    assert set(statuses(warehouse)) == {"sending", "pending"}
    assert back.push().sent == len(clients)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("status", [301, 307, 403, 404, 405])
@pytest.mark.parametrize("number", [0, 11])
def test_one_refused_update_does_not_stop_the_others(
    source: RunningSimulator,
    clients: list[int],
    warehouse: Warehouse,
    back: WriteBack,
    status: int,
    number: int,
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    respond(source, clients[number], Reply(status, b"<h1>no</h1>", "text/html"))
    report = back.push()
    assert (report.status, report.sent, report.concerns) == ("done", len(clients) - 1, 1)
    ask_for(warehouse, [(client, {"surname": "Ким"}) for client in clients if client != clients[0]])
    back.push()
    assert f"HTTP {status}" in outbox(warehouse)[number]["last_error"]
    if number == 0:
        # Others succeeded after it, so the refusal concerns only this one.
        assert statuses(warehouse)[0] == "failed"


def test_a_status_that_refuses_every_update_stops_the_push_and_loses_none(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    respond(source, None, Reply(403, b"", "text/html"))
    with pytest.raises(PushStoppedError, match=r"HTTP 403.*check the rights"):
        back.push()
    assert set(statuses(warehouse)) == {"pending"}


def test_permissions_revoked_midway_leave_the_rest_pending(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": f"А{n}"}) for n in range(4) for client in clients])
    original = source.service.reply

    def forbid_soon(call: Call, fault: FaultRule | None) -> Reply:
        if len(source.world.profiles.updates) >= 20:
            return Reply(403, b"", "text/html")
        return original(call, fault)

    source.service.reply = forbid_soon  # type: ignore[method-assign]
    settings = back.settings.model_copy(update={"push_canary": 5, "concurrency": 2})
    with pytest.raises(PushStoppedError, match="in a row") as stopped:
        replace(back, settings=settings).push()
    assert stopped.value.report.failed == 0
    assert set(statuses(warehouse)) == {"sent", "pending"}


def test_invalid_characters_of_a_message_are_removed_before_it_is_stored(
    source: RunningSimulator, clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    respond(source, clients[0], Reply(200, b'{"ErrorCode":0,"Message":"a\\u0000b\\u0007"}', JSON))
    report = back.push()
    assert (report.partial, report.sent) == (1, len(clients) - 1)


def test_an_update_that_cannot_be_claimed_is_the_only_one_rejected(
    clients: list[int], warehouse: Warehouse, back: WriteBack
) -> None:
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    with warehouse.connect() as session:
        session.execute(
            "alter table outbox.attempts add constraint no_third check (update_id <> 3)"
        )
    report = back.push()
    assert (report.sent, report.rejected) == (len(clients) - 1, 1)
    assert "no_third" in outbox(warehouse)[2]["last_error"]
    assert back.push().requests == 0


def test_an_exception_during_validation_rejects_only_its_update(
    clients: list[int], warehouse: Warehouse, back: WriteBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(update: Any, known: Any, today: Any) -> Any:
        if update.client_id == clients[2]:
            raise ZeroDivisionError(SECRET)
        return validate_update(update, known, today)

    monkeypatch.setattr(sending, "validate_update", fail)
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    report = back.push()
    assert (report.sent, report.rejected) == (len(clients) - 1, 1)
    assert outbox(warehouse)[2]["last_error"] == (
        "an unexpected ZeroDivisionError: the log says where"
    )
