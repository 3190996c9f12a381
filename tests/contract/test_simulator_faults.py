"""Faults that the simulator injects, and changes that it makes between two requests."""

import threading
import time
from typing import Any

import httpx
import pytest

from lcm_pipeline.simulator.faults import FaultPlan, FaultRule
from lcm_pipeline.simulator.quirks import Habits
from lcm_pipeline.simulator.server import RunningSimulator
from tests.contract.simulator_calls import busiest, control, fetch, keys, post, small_config


@pytest.fixture(scope="module")
def simulator():
    with RunningSimulator(small_config(habits=Habits(heavy_operations=100))) as running:
        yield running


@pytest.fixture(autouse=True)
def sound(simulator):
    yield
    control(simulator, "faults", [])
    control(simulator, "hooks", [])


def fail(simulator: RunningSimulator, kind: str, **rule: Any) -> None:
    control(simulator, "faults", [{"kind": kind, **rule}])


def request_page(simulator: RunningSimulator, **request: Any) -> httpx.Response:
    return post(simulator, "OperationHistory", Client=busiest(simulator), Length=20, **request)


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("too_many_requests", 429, "application/json"),
        ("server_error", 500, "application/json"),
        ("unavailable_html", 503, "text/html"),
        ("unauthorized", 401, "application/json"),
        ("forbidden", 403, "application/json"),
        ("html_with_200", 200, "text/html"),
        ("no_error_code", 200, "application/json"),
    ],
)
def test_a_fault_replaces_the_response_of_the_service(simulator, kind, status, content_type):
    fail(simulator, kind)
    response = request_page(simulator)
    assert response.status_code == status
    assert response.headers["content-type"].startswith(content_type)
    assert "ErrorCode" not in response.text


def test_an_internal_error_has_no_details(simulator):
    fail(simulator, "server_error")
    assert request_page(simulator).json() == {"Message": "An error has occurred."}


@pytest.mark.parametrize(("wait", "header"), [(None, None), (0, "0"), ("2", "2")])
def test_too_many_requests_has_an_optional_retry_after(simulator, wait, header):
    fail(simulator, "too_many_requests", retry_after=wait)
    assert request_page(simulator).headers.get("retry-after") == header


def test_a_body_can_be_empty_or_truncated(simulator):
    fail(simulator, "empty_body")
    assert request_page(simulator).content == b""
    fail(simulator, "truncated_json")
    assert request_page(simulator).text.startswith('{"Client":')
    with pytest.raises(ValueError):
        request_page(simulator).json()


def test_a_reset_and_a_disconnect_send_no_response(simulator):
    fail(simulator, "reset")
    with pytest.raises(httpx.ReadError):
        request_page(simulator)
    fail(simulator, "disconnect")
    with pytest.raises(httpx.RemoteProtocolError):
        request_page(simulator)


def test_a_timeout_hangs_and_then_responds_if_the_client_still_waits(simulator):
    fail(simulator, "timeout", seconds=0.3)
    started = time.monotonic()
    assert request_page(simulator).json()["ErrorCode"] == 0
    assert time.monotonic() - started >= 0.3
    fail(simulator, "timeout", seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        url = f"{simulator.url}api/client/OperationHistory"
        httpx.post(url, json={}, timeout=httpx.Timeout(60, read=0.2))


def test_a_sql_timeout_has_half_the_rows_and_error_code_ten(simulator):
    fail(simulator, "sql_timeout_half_rows")
    response = request_page(simulator).json()
    assert response["ErrorCode"] == 10
    assert response["Message"].startswith("Timeout expired")
    assert len(response["Operations"]) == 10


def test_a_deadlock_and_another_text_share_error_code_ten(simulator):
    for kind, text in (("sql_deadlock", "deadlock victim"), ("sql_other", "Object reference")):
        fail(simulator, kind)
        response = request_page(simulator).json()
        assert (response["ErrorCode"], response["Operations"]) == (10, [])
        assert text in response["Message"]


def test_half_the_rows_can_have_error_code_zero_and_an_honest_total(simulator):
    honest = request_page(simulator).json()
    fail(simulator, "message_half_rows")
    response = request_page(simulator).json()
    assert response["ErrorCode"] == 0
    assert response["Message"]
    assert response["Rows"] == honest["Rows"]
    assert response["Operations"] == honest["Operations"][:10]


def test_the_service_can_suddenly_find_nothing(simulator):
    fail(simulator, "nothing_found")
    response = request_page(simulator).json()
    assert (response["ErrorCode"], response["Rows"], response["Operations"]) == (0, 0, [])


def test_only_the_nth_call_fails(simulator):
    fail(simulator, "server_error", nth=3)
    assert [request_page(simulator).status_code for _ in range(5)] == [200, 200, 500, 200, 200]


def test_a_rule_can_be_limited_to_one_endpoint_or_one_client(simulator):
    fail(simulator, "forbidden", endpoint="LeadsPagingInfo")
    assert request_page(simulator).status_code == 200
    assert post(simulator, "LeadsPagingInfo", Client=1).status_code == 403
    fail(simulator, "forbidden", client=1)
    assert request_page(simulator).status_code == 200
    assert post(simulator, "OperationHistory", Client=1).status_code == 403


def test_a_rule_applies_at_most_its_times(simulator):
    fail(simulator, "server_error", times=2)
    assert [request_page(simulator).status_code for _ in range(4)] == [500, 500, 200, 200]


def test_equal_seeds_draw_equal_faults():
    def struck() -> list[bool]:
        rule = FaultRule(kind="reset", probability=0.3, seed=5)
        plan = FaultPlan((rule,))
        return [plan.next("OperationHistory", None) is not None for _ in range(500)]

    assert struck() == struck()
    assert 100 < sum(struck()) < 200


def test_a_rule_for_every_kth_call_precedes_later_rules():
    every, always = FaultRule(kind="reset", every=2), FaultRule(kind="forbidden")
    plan = FaultPlan((every, always))
    kinds = [rule.kind for _ in range(4) if (rule := plan.next("X", None))]
    assert kinds == ["forbidden", "reset", "forbidden", "reset"]


def test_an_update_can_be_applied_although_its_response_is_lost(simulator):
    client = busiest(simulator)
    for applied, name in ((False, "Нет"), (True, "Да")):
        fail(simulator, "disconnect", applied=applied)
        with pytest.raises(httpx.RemoteProtocolError):
            post(simulator, "ClientUpdate", Client=client, Name=name)
        names = {row["Client"]: row["Name"] for row in control(simulator, "profiles")}
        assert (names[client] == name) is applied


def test_injected_faults_are_counted(simulator):
    control(simulator, "reset-stats", {})
    fail(simulator, "server_error", times=2)
    for _ in range(3):
        request_page(simulator)
    stats = control(simulator, "stats")
    assert stats["faults"] == {"server_error": 2}
    assert stats["by_endpoint"] == {"OperationHistory": 3}


@pytest.mark.parametrize(
    ("action", "difference"),
    [("insert_top", 1), ("insert_middle", 1), ("insert_tail", 1), ("delete_oldest", -1)],
)
def test_a_hook_changes_rows_after_the_nth_request(simulator, action, difference):
    before = request_page(simulator).json()["Rows"]
    hook = {"action": action, "after": 2, "client": busiest(simulator)}
    control(simulator, "hooks", [hook])
    seen = [request_page(simulator).json()["Rows"] for _ in range(4)]
    assert seen == [before, before, before + difference, before + difference]


def test_a_row_inserted_on_top_pushes_the_others_down(simulator):
    page = keys(request_page(simulator).json()["Operations"])
    control(simulator, "mutate", {"action": "insert_top", "client": busiest(simulator)})
    assert keys(request_page(simulator).json()["Operations"])[1:] == page[:-1]


def test_a_repeating_hook_fires_on_every_request(simulator):
    client = busiest(simulator)
    rows = request_page(simulator).json()["Rows"]
    hook = {"action": "delete_random", "client": client, "repeat": True}
    control(simulator, "hooks", [hook])
    assert [request_page(simulator).json()["Rows"] for _ in range(3)] == [rows, rows - 1, rows - 2]


def test_leads_and_offers_can_be_changed_too(simulator):
    client = busiest(simulator, "leads")
    before = fetch(simulator, "LeadsPagingInfo", Client=client, Length=1000)["LeadsClients"]
    control(simulator, "mutate", {"action": "change", "client": client, "kind": "leads"})
    control(simulator, "mutate", {"action": "insert_top", "client": client, "kind": "offers"})
    after = fetch(simulator, "LeadsPagingInfo", Client=client, Length=1000)["LeadsClients"]
    assert sum(row not in before for row in after) == 1
    assert fetch(simulator, "ClientFavoriteDataInfo", Client=client)["TotalRows"] >= 1


def test_a_merge_moves_the_history_at_once(simulator):
    source, target = (c.id for c in list(simulator.world.programme.customers.values())[1:3])
    rows = [fetch(simulator, "OperationHistory", Client=c)["Rows"] for c in (source, target)]
    control(simulator, "merge", {"source": source, "target": target})
    after = [fetch(simulator, "OperationHistory", Client=c)["Rows"] for c in (source, target)]
    assert after == [0, sum(rows)]


def test_overlapping_updates_of_one_client_are_counted(simulator):
    control(simulator, "reset-stats", {})
    control(simulator, "quirks", {"latency_ms": 150})
    client = busiest(simulator)
    arguments = {"Client": client, "Name": "Имя"}
    calls = [
        threading.Thread(target=post, args=(simulator, "ClientUpdate"), kwargs=arguments)
        for _ in range(2)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    control(simulator, "quirks", {"latency_ms": 0})
    stats = control(simulator, "stats")
    assert (stats["overlapping_updates"], stats["in_flight_maximum"]) == (1, 2)
