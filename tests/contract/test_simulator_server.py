"""The simulator as a server: identity, the control API, its command, start and stop."""

import base64
import json
import os
import signal
import subprocess
import time
from typing import Any

import httpx
import pytest

from lcm_pipeline.simulator.configuration import ConfigurationError, build_config
from lcm_pipeline.simulator.server import RunningSimulator
from tests.commands import LCM
from tests.contract.simulator_calls import busiest, control, fetch, post, small_config
from tests.waiting import PATIENCE


@pytest.fixture
def guarded(request):
    """A server that requires a login; the parameter is how many seconds a bearer is valid."""
    seconds = getattr(request, "param", 600)
    config = small_config(
        prefix="XYZ", username="manager", password="secret", token_seconds=seconds
    )
    with RunningSimulator(config) as running:
        yield running


def log_in(simulator: RunningSimulator, **form: str) -> httpx.Response:
    return httpx.post(f"{simulator.url}ManagerLogin", data=form)


def by_password(simulator: RunningSimulator, password: str = "secret") -> httpx.Response:
    return log_in(simulator, grant_type="password", username="manager", password=password)


def with_bearer(simulator: RunningSimulator, access: str, **request: Any) -> httpx.Response:
    return httpx.post(
        f"{simulator.url}api/client/OperationHistory",
        json=request,
        headers={"Authorization": f"Bearer {access}"},
    )


def claims_of(access: str) -> dict[str, Any]:
    payload = access.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_without_a_bearer_the_service_responds_with_401(guarded):
    response = post(guarded, "OperationHistory", Client=1)
    assert response.status_code == 401


def test_a_bearer_contains_its_expiry_and_the_token_for_the_body(guarded):
    began = time.time()
    response = by_password(guarded).json()
    assert (response["token_type"], response["expires_in"]) == ("bearer", 600)
    claims = claims_of(response["access_token"])
    assert began - 1 <= claims["exp"] - 600 <= time.time() + 1
    request = {"Client": busiest(guarded), "Token": int(claims["token"])}
    good = with_bearer(guarded, response["access_token"], **request).json()
    assert good["ErrorCode"] == 0
    bad = with_bearer(guarded, response["access_token"], Client=request["Client"], Token=5)
    assert bad.status_code == 200
    assert bad.json()["ErrorCode"] != 0
    assert bad.json()["Operations"] == []


@pytest.mark.parametrize("guarded", [1], indirect=True)
def test_a_bearer_expires_and_a_refresh_token_works_once(guarded):
    first = by_password(guarded).json()
    time.sleep(1.1)
    assert with_bearer(guarded, first["access_token"], Client=1).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert log_in(guarded, **form).status_code == 200
    again = log_in(guarded, **form)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_a_wrong_password_is_refused(guarded):
    assert by_password(guarded, "wrong").status_code == 400


def test_a_server_restart_forgets_every_token(guarded):
    first = by_password(guarded).json()
    control(guarded, "forget-tokens", {})
    assert with_bearer(guarded, first["access_token"], Client=1).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert log_in(guarded, **form).status_code == 400
    assert control(guarded, "stats")["logins"] == {"password": 1, "refresh_token": 0, "refused": 1}


def test_a_bad_token_operator_or_site_code_is_an_error_code_in_http_200():
    with RunningSimulator(small_config(token=11, operator=4, site_code="shop")) as simulator:
        client = busiest(simulator)
        good = {"Client": client, "Token": 11, "Operator": 4}
        assert fetch(simulator, "OperationHistory", **good)["ErrorCode"] == 0
        assert (
            fetch(simulator, "OperationHistory", Client=client, SiteCode="shop")["ErrorCode"] == 0
        )
        for wrong in ({"Token": 12}, {"Operator": 5}, {"Token": None}):
            response = fetch(simulator, "OperationHistory", **{**good, **wrong})
            assert response["ErrorCode"] != 0
            assert response["Message"]


def test_the_control_api_moves_the_clock_and_shows_the_truth():
    with RunningSimulator(small_config()) as simulator:
        before = control(simulator, "truth")
        assert control(simulator, "advance", {"days": 2})["now"] == "2026-03-13T00:00:00"
        moved = control(simulator, "advance", {"to": "2026-03-14T12:00:00"})
        assert (moved["status"], moved["now"]) == ("ok", "2026-03-14T12:00:00")
        after = control(simulator, "truth")
        assert len(after["registrations"]) > len(before["registrations"])
        assert after == simulator.world.truth()
        back = httpx.post(f"{simulator.control_url}advance", json={"to": "2026-03-01T00:00:00"})
        assert back.status_code == 400


def test_the_control_api_counts_and_records_requests():
    with RunningSimulator(small_config()) as simulator:
        client = busiest(simulator)
        for start in (1, 11):
            fetch(simulator, "OperationHistory", Client=client, Start=start)
        stats = control(simulator, "stats")
        assert (stats["requests"], stats["by_client"]) == (2, {str(client): 2})
        assert (stats["in_flight"], stats["in_flight_maximum"]) == (0, 1)
        assert stats["peak_per_second"] == 2
        assert [row["Start"] for row in control(simulator, "requests")] == [1, 11]
        control(simulator, "reset-stats", {})
        assert control(simulator, "stats")["requests"] == 0


def test_an_unknown_control_path_is_not_found():
    with RunningSimulator(small_config(clients=1)) as simulator:
        assert httpx.get(f"{simulator.control_url}nothing").status_code == 404
        assert control(simulator, "health")["status"] == "ok"


def test_stopping_does_not_wait_for_a_call_that_hangs():
    with RunningSimulator(small_config(clients=1)) as simulator:
        control(simulator, "faults", [{"kind": "timeout", "seconds": 3600}])
        with httpx.Client() as client, pytest.raises(httpx.ReadTimeout):
            url = f"{simulator.url}api/client/OperationHistory"
            client.post(url, json={}, timeout=httpx.Timeout(PATIENCE, read=0.2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"quirks": ["no_such=1"]},
        {"quirks": ["totals"]},
        {"habits": ["late=often"]},
        {"faults": ['{"kind": "earthquake"}']},
        {"now": "2026-02-01T00:00:00"},
        {"start": "yesterday"},
        {"clients": -1},
        {"port": "http"},
    ],
)
def test_an_invalid_configuration_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="cannot start"):
        build_config(**wrong)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_address_and_stops_cleanly(stop):
    arguments = ["--clients", "20", "--quirk", "max_length=3", "--prefix", "/a/b"]
    command = [LCM, "simulate", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        url = running.stdout.readline().decode().strip()
        try:
            root = url.removesuffix("a/b/")
            client = httpx.get(f"{root}_control/truth").json()["favourite_stats"][0]["Client"]
            request = {"Client": client, "Length": 10}
            response = httpx.post(f"{url}api/client/OperationHistory", json=request).json()
            assert len(response["Operations"]) <= 3
        finally:
            os.kill(running.pid, stop)
        _, errors = running.communicate(timeout=PATIENCE)
    assert (running.returncode, errors) == (0, b"")
