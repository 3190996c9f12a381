"""The bearer token of ManagerLogin: how it is obtained, renewed, shared and refused."""

import asyncio
import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import (
    AuthenticationError,
    LoginError,
    MalformedError,
    UnavailableError,
)
from lcm_pipeline.model.endpoints import CLIENT_UPDATE, OPERATION_HISTORY
from lcm_pipeline.model.payloads import OperationHistoryRequest, SetClientUpdateRequest
from tests.unit import api_service
from tests.unit.api_service import FakeTime, Request, Response, Service

REQUEST = OperationHistoryRequest(Client=7, Start=1, Length=500)
LOGIN_PATH = "/WebService/XYZ/ManagerLogin"
CREDENTIALS: dict[str, Any] = {"username": "робот", "password": "p&ss=wörd"}


def jwt(**claims: Any) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=")
             for p in ({"alg": "HS256"}, claims)]  # fmt: skip
    return ".".join([*parts, "signature"])


class Programme(Service):
    """A service that issues numbered bearer tokens and accepts the valid ones."""

    def __init__(self, *script: Response, **login: Any) -> None:
        super().__init__(*script, otherwise=self.reply)
        self.login = {"token_type": "bearer", "expires_in": 3600} | login
        self.logins: list[dict[str, list[str]]] = []
        self.refused_bearers: set[str] = set()
        self.refused_grants: set[str] = set()
        self.login_status = 200
        self.delay = 0.0

    def reply(self, request: Request) -> Response:
        if request.path == LOGIN_PATH:
            form = parse_qs(request.body.decode())
            self.logins.append(form)
            if form["grant_type"][0] in self.refused_grants or self.login_status != 200:
                status = self.login_status if self.login_status != 200 else 400
                return Response({"error": "invalid_grant"}, status=status)
            number = len(self.logins)
            bearer = {"access_token": f"bearer-{number}", "refresh_token": f"refresh-{number}"}
            return Response(bearer | self.login, delay=self.delay)
        bearer = request.headers.get("authorization", "")
        return Response(status=401 if bearer in self.refused_bearers or not bearer else 200)

    @property
    def calls(self) -> list[Request]:
        return [request for request in self.requests if request.path != LOGIN_PATH]


def run(service: Programme, act: Any, time: FakeTime | None = None, **settings: Any) -> Any:
    return api_service.run(service, act, time, **(CREDENTIALS | settings))


async def call(api: LoyaltyApi) -> Any:
    return await api.call(OPERATION_HISTORY, REQUEST)


def test_the_login_is_a_form_below_the_path_prefix() -> None:
    service = Programme()
    run(service, call)
    first = service.requests[0]
    assert first.path == LOGIN_PATH
    assert first.headers["content-type"] == "application/x-www-form-urlencoded"
    assert service.logins == [
        {"grant_type": ["password"], "username": ["робот"], "password": ["p&ss=wörd"]}
    ]
    assert service.calls[0].headers["authorization"] == "Bearer bearer-1"


def test_one_login_serves_many_waiting_calls() -> None:
    service = Programme()
    service.delay = 0.05

    async def many(api: LoyaltyApi) -> None:
        await asyncio.gather(*(call(api) for _ in range(40)))

    run(service, many)
    assert (len(service.logins), len(service.calls)) == (1, 40)


def test_a_bearer_is_renewed_before_it_expires() -> None:
    time, service = FakeTime(), Programme(expires_in=600)

    async def act(api: LoyaltyApi) -> None:
        await call(api)
        time.now += 539
        await call(api)
        time.now += 2
        await call(api)

    run(service, act, time)
    bearers = [request.headers["authorization"] for request in service.calls]
    assert bearers == ["Bearer bearer-1", "Bearer bearer-1", "Bearer bearer-2"]


def test_the_expiry_in_the_bearer_is_used() -> None:
    time = FakeTime()
    service = Programme(access_token=jwt(exp=time.now + 100), expires_in=None)

    async def act(api: LoyaltyApi) -> None:
        await call(api)
        time.now += 79
        await call(api)
        time.now += 2
        await call(api)

    run(service, act, time)
    assert len(service.logins) == 2


def test_an_expiry_in_the_past_is_ignored_as_clock_skew() -> None:
    time = FakeTime()
    service = Programme(access_token=jwt(exp=time.now - 5_000), expires_in=3600)

    async def act(api: LoyaltyApi) -> None:
        await call(api)
        await call(api)

    run(service, act, time)
    assert len(service.logins) == 1


def test_the_refresh_token_is_tried_first() -> None:
    time, service = FakeTime(), Programme(expires_in=100)

    async def act(api: LoyaltyApi) -> None:
        await call(api)
        time.now += 99
        await call(api)

    run(service, act, time)
    assert service.logins[1] == {"grant_type": ["refresh_token"], "refresh_token": ["refresh-1"]}
    assert len(service.logins) == 2


def test_a_refused_refresh_token_falls_back_to_the_password() -> None:
    time, service = FakeTime(), Programme(expires_in=100)
    service.refused_grants = {"refresh_token"}

    async def act(api: LoyaltyApi) -> None:
        await call(api)
        time.now += 99
        await call(api)

    run(service, act, time)
    grants = [form["grant_type"][0] for form in service.logins]
    assert grants == ["password", "refresh_token", "password"]


def test_a_401_logs_in_again_and_replays_once() -> None:
    service = Programme()
    service.refused_bearers = {"Bearer bearer-1"}
    run(service, call)
    bearers = [request.headers["authorization"] for request in service.calls]
    assert bearers == ["Bearer bearer-1", "Bearer bearer-2"]


def test_an_update_is_replayed_after_a_401_too() -> None:
    service = Programme()
    service.refused_bearers = {"Bearer bearer-1"}
    update = SetClientUpdateRequest(Client=7, Name="x")
    run(service, lambda api: api.call(CLIENT_UPDATE, update))
    assert len(service.calls) == 2


def test_concurrent_401s_cause_one_login() -> None:
    service = Programme()

    async def act(api: LoyaltyApi) -> None:
        await call(api)
        service.refused_bearers = {"Bearer bearer-1"}
        service.delay = 0.05
        await asyncio.gather(*(call(api) for _ in range(16)))

    run(service, act)
    assert len(service.logins) == 2


def test_a_second_401_is_final() -> None:
    service = Programme(access_token="same")
    service.refused_bearers = {"Bearer same"}
    with pytest.raises(AuthenticationError, match="LCM_PASSWORD"):
        run(service, call)
    assert len(service.calls) == 2


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_password_is_not_tried_again(status: int) -> None:
    service = Programme()
    service.login_status = status

    async def act(api: LoyaltyApi) -> list[Any]:
        return await asyncio.gather(
            *(call(api) for _ in range(5)), call(api), return_exceptions=True
        )

    async def twice(api: LoyaltyApi) -> list[Any]:
        return await act(api) + await act(api)

    errors = run(service, twice)
    assert all(isinstance(error, LoginError) for error in errors)
    assert len(service.logins) == 1
    assert service.calls == []


def test_a_transient_login_failure_is_retried() -> None:
    service = Programme(Response(status=503), Response(b"<html>", content_type="text/html"))
    run(service, call)
    assert len(service.requests) == 4


def test_waiting_calls_fail_after_six_login_attempts() -> None:
    service = Programme()
    service.login_status = 503

    async def act(api: LoyaltyApi) -> list[Any]:
        return await asyncio.gather(*(call(api) for _ in range(8)), return_exceptions=True)

    errors = run(service, act)
    assert all(isinstance(error, UnavailableError) for error in errors)
    assert len(service.logins) == 6


def test_the_body_token_comes_from_the_claim_of_the_bearer() -> None:
    service = Programme(access_token=jwt(exp=9_999_999, token="815"))
    run(service, call)
    assert service.calls[0].json["Token"] == 815


def test_a_configured_token_takes_precedence_over_the_claim() -> None:
    service = Programme(access_token=jwt(exp=9_999_999, token=815))
    run(service, call, token="42")
    assert service.calls[0].json["Token"] == 42


def test_a_bearer_that_is_not_a_jwt_is_accepted() -> None:
    service = Programme(access_token="opaque.but.three-parts", expires_in=None)
    run(service, call)
    assert "Token" not in service.calls[0].json
    assert len(service.calls) == 1


def test_the_login_does_not_deadlock_with_one_slot() -> None:
    service = Programme()

    async def act(api: LoyaltyApi) -> None:
        await asyncio.gather(*(call(api) for _ in range(4)))

    run(service, act, concurrency=1)
    assert service.most_in_flight == 1


ODD_TOKENS = [
    "sesame\nX: y", "sesame\r\n\r\n", "sésame", "сезам", "sesame street", "\x00sesame",
    "sesame\x7f", "\ud83d", 5, None, "", [], {"a": 1}, True,
]  # fmt: skip


@pytest.mark.parametrize("token", ODD_TOKENS, ids=range(len(ODD_TOKENS)))
def test_a_token_that_does_not_fit_a_header_is_a_login_error(
    token: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service = Programme(access_token=token)
    with pytest.raises(MalformedError) as caught:
        run(service, call)
    assert "ManagerLogin" in str(caught.value)
    assert caught.value.never_sent
    assert "sesame" not in str(caught.value) + caplog.text
    assert service.calls == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"<html>", b"[" * 100_000, b'{"a":' * 100_000, b'{"access_token":"x"',
        b"\xff\xfe", b'{"access_token":"\x0b"}', b"{}",
    ],
    ids=range(10),
)  # fmt: skip
@pytest.mark.parametrize("act", ["read", "update"])
def test_an_unreadable_login_response_is_a_login_error(body: bytes, act: str) -> None:
    service = Programme()
    service.otherwise = lambda _: Response(body, content_type="application/json; charset=undefined")

    async def update(api: LoyaltyApi) -> Any:
        return await api.call(CLIENT_UPDATE, SetClientUpdateRequest(Client=7, Name="x"))

    with pytest.raises(MalformedError) as caught:
        run(service, call if act == "read" else update)
    assert caught.value.never_sent
    assert len(service.requests) == 6


def test_a_login_response_that_is_too_large_or_redirects_is_final() -> None:
    for response, message in (
        (Response(b" " * 2**21), "LCM_MAX_ANSWER_MB"),
        (
            Response(status=302, headers={"Location": "https://sso.example/x?y"}),
            "https://sso.example/x",
        ),
    ):
        service = Programme(response, response)
        with pytest.raises(LoginError, match=message):
            run(service, call, max_answer_mb=1)
        assert len(service.requests) == 1


@pytest.mark.parametrize("expires", ["soon", None, -5, [], {}, "NaN", "1e999", "3600", 2**80])
def test_a_malformed_expiry_does_not_fail_the_login(expires: Any) -> None:
    service = Programme(expires_in=expires, refresh_token=5)
    run(service, call)
    assert len(service.logins) == 1


@pytest.mark.parametrize("claim", ["x", "9" * 5000, 2**64, None, [], 1.5])
def test_a_malformed_token_claim_is_ignored(claim: Any) -> None:
    service = Programme(access_token=jwt(token=claim, exp="never"))
    run(service, call)
    assert "Token" not in service.calls[0].json


def test_a_login_in_another_charset_or_with_a_byte_order_mark_is_read() -> None:
    body = json.dumps({"access_token": "bearer", "user": "робот"}, ensure_ascii=False)
    for encoded in (body.encode("utf-8-sig"), body.encode("utf-16"), body.encode("cp1251")):
        response = Response(encoded, content_type="application/json; charset=windows-1251")
        service = Programme(response)
        run(service, call)
        assert service.calls[0].headers["authorization"] == "Bearer bearer"
