"""The client against a real server: addresses, credentials in the body, errors, retries."""

import asyncio
import contextlib
import gzip
import json
import logging
import socket
from collections.abc import Awaitable
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import (
    AuthenticationError,
    BusinessError,
    ForbiddenError,
    LoyaltyApiError,
    MalformedError,
    OverloadedError,
    RejectedError,
    RequestError,
    TransientError,
    TransportError,
    UnavailableError,
)
from lcm_pipeline.model.endpoints import CLIENT_UPDATE, OPERATION_HISTORY
from lcm_pipeline.model.payloads import (
    OperationHistoryRequest,
    OperationHistoryResponse,
    SetClientUpdateRequest,
)
from lcm_pipeline.settings import Settings
from tests.unit.api_service import EMPTY_HISTORY, FakeTime, Response, Service, connected, run

REQUEST = OperationHistoryRequest(Client=7, Start=1, Length=500)
UPDATE = SetClientUpdateRequest(Client=7, Name="Анна")
DONE = {"ErrorCode": 0, "Message": None}
TIMED_OUT = {"ErrorCode": 10, "Message": "Timeout expired. The timeout period elapsed", "Rows": 9}


def history(api: LoyaltyApi) -> Awaitable[OperationHistoryResponse]:
    return api.call(OPERATION_HISTORY, REQUEST)


def failing(service: Service, act: Any = history, **settings: Any) -> LoyaltyApiError:
    with pytest.raises(LoyaltyApiError) as caught:
        run(service, act, **settings)
    return caught.value


def test_the_path_prefix_of_the_tenant_is_kept() -> None:
    service = Service()
    run(service, history)
    assert service.requests[0].path == "/WebService/XYZ/api/client/OperationHistory"


def test_the_credentials_are_sent_in_the_body() -> None:
    service = Service()
    run(service, history, operator=3, token="42", site_code="shop")
    assert service.requests[0].json == {
        "Client": 7, "Start": 1, "Length": 500, "Operator": 3, "Token": 42, "SiteCode": "shop"
    }  # fmt: skip
    assert service.requests[0].headers["accept"] == "application/json"
    assert "authorization" not in service.requests[0].headers


def test_rows_stay_the_bytes_that_the_server_sent() -> None:
    body = b'{"Rows": 1, "Operations": [{"Id": 1,  "Amount": 1.10}], "ErrorCode": 0, "New": [1]}'
    response = run(Service(Response(body)), history)
    assert [bytes(raw) for raw in response.Operations] == [b'{"Id": 1,  "Amount": 1.10}']


def test_requests_and_retries_are_counted() -> None:
    async def act(api: LoyaltyApi) -> Any:
        await history(api)
        await history(api)
        return api.counts

    counts = run(Service(Response(status=503), Response()), act)
    assert (counts.requests, counts.retries) == (3, 1)


def test_a_sibling_counts_for_itself_and_leaves_the_connections_open() -> None:
    async def act(api: LoyaltyApi) -> Any:
        async with api.sibling() as sibling:
            await history(sibling)
        await history(api)
        return api.counts, sibling.counts

    own, other = run(Service(Response(status=503), Response()), act)
    assert (own.requests, own.retries) == (1, 0)
    assert (other.requests, other.retries) == (2, 1)


@pytest.mark.parametrize(
    "fault",
    [
        Response(status=500, body={"Message": "An error has occurred."}),
        Response(status=503, body=b"<html>busy</html>", content_type="text/html"),
        Response(status=408),
        Response(status=429),
        Response(body=b"<html>please wait</html>", content_type="text/html"),
        Response(body=b"<!DOCTYPE html><p>x", content_type="application/json"),
        Response(body=b'{"ErrorCode": 0, "Operations": [{"Id": 1}, {"Id"'),
        Response(body=b""),
        Response(body=b"[]"),
        Response(body=b"[" * 100_000),
        Response(body={"Message": "An error has occurred."}),
        Response(body={"ErrorCode": None, "Rows": 0}),
        Response(body=TIMED_OUT),
        Response(body={"ErrorCode": 25, "Message": "Transaction was deadlocked on lock resources"}),
        Response(body={"ErrorCode": 3, "Message": "Истекло время ожидания выполнения"}),
        Response(cut=10),
        Response(dropped=True),
    ],
)
def test_a_transient_failure_is_retried(fault: Response) -> None:
    time = FakeTime()
    service = Service(fault, Response())
    response = run(service, history, time)
    assert (response.Rows, len(service.requests)) == (0, 2)
    assert len(time.waits) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (Response(status=500), UnavailableError, "HTTP 500"),
        (Response(body=b"<html></html>", content_type="text/html"), MalformedError, "HTML"),
        (Response(body=b'{"ErrorCode": 0, '), MalformedError, "cut off"),
        (Response(body={"Rows": 0}), MalformedError, "no valid ErrorCode"),
        (Response(body={"ErrorCode": 0, "Rows": "many"}), MalformedError, "not a number of rows"),
        (Response(body=TIMED_OUT), OverloadedError, "ErrorCode 10 «Timeout expired."),
        (Response(cut=3), TransportError, "cut off"),
        (Response(dropped=True), TransportError, "connection broke"),
    ],
)
def test_retries_end_after_six_attempts(
    fault: Response, kind: type[TransientError], message: str
) -> None:
    service = Service(otherwise=lambda _: fault)
    error = failing(service)
    assert type(error) is kind
    assert len(service.requests) == 6
    assert message in str(error)
    assert "OperationHistory for client 7 Start 1 Length 500" in str(error)
    assert "(6 attempts); a rerun may help" in str(error)


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (Response(status=403), ForbiddenError, "HTTP 403"),
        (Response(status=404), ForbiddenError, "HTTP 404"),
        (Response(status=302, headers={"Location": "/x"}), ForbiddenError, "HTTP 302"),
        (Response(body={"ErrorCode": 10, "Message": "Нет прав"}), BusinessError, "ErrorCode 10"),
        (Response(body={"ErrorCode": 77, "Message": "timeout"}), BusinessError, "ErrorCode 77"),
        (Response(body={"ErrorCode": -1}), BusinessError, "ErrorCode -1"),
    ],
)
def test_a_final_failure_is_not_retried(
    fault: Response, kind: type[RejectedError], message: str
) -> None:
    service = Service(otherwise=lambda _: fault)
    error = failing(service)
    assert type(error) is kind
    assert len(service.requests) == 1
    assert message in str(error)


def test_rows_with_an_error_code_are_discarded() -> None:
    error = failing(Service(Response({"ErrorCode": 5, "Rows": 1, "Operations": [{"Id": 1}]})))
    assert isinstance(error, BusinessError)
    assert error.code == 5


def test_an_error_code_takes_precedence_over_a_malformed_value() -> None:
    error = failing(Service(Response({"ErrorCode": 5, "Rows": "many"})))
    assert isinstance(error, BusinessError)


def test_a_malformed_header_value_does_not_lose_the_rows() -> None:
    body = {"ErrorCode": 0, "Rows": 1, "Phone": "", "Operations": [{"Id": 1}]}
    response = run(Service(Response(body)), history)
    assert response.Rows == 1
    assert [bytes(raw) for raw in response.Operations] == [b'{"Id": 1}']
    assert bytes(response.Phone) == b'""'


def test_a_response_in_another_charset_is_read() -> None:
    body = '{"ErrorCode": 9, "Message": "ошибка"}'.encode("windows-1251")
    error = failing(Service(Response(body, content_type="application/json; charset=windows-1251")))
    assert "«ошибка»" in str(error)


def test_a_byte_order_mark_is_skipped() -> None:
    body = b"\xef\xbb\xbf" + json.dumps(EMPTY_HISTORY).encode()
    assert run(Service(Response(body)), history).Rows == 0


def test_a_silent_server_is_a_time_out() -> None:
    error = failing(Service(otherwise=lambda _: Response(delay=1.0)), timeout=0.05)
    assert isinstance(error, TransportError)
    assert error.timed_out
    assert "no complete response within" in str(error)
    assert "LCM_TIMEOUT" in str(error)


def test_a_response_that_trickles_in_is_a_time_out() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()

    service = Service()
    service.serve = drip  # type: ignore[method-assign]
    error = failing(service, update, timeout=0.1)
    assert isinstance(error, TransportError)
    assert error.timed_out
    assert "no complete response within" in str(error)
    assert "LCM_TIMEOUT" in str(error)


def test_json_labelled_as_html_is_read() -> None:
    assert run(Service(Response(content_type="text/html")), history).Rows == 0


def test_a_closed_port_and_an_unknown_host_are_transport_errors() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for host in (f"127.0.0.1:{port}", "no-such-host.invalid"):
        error = failing(Service(), api_url=f"http://{host}/x/")
        assert isinstance(error, TransportError)
        assert error.never_sent
        assert not error.timed_out


def test_back_off_grows_and_is_bounded() -> None:
    time = FakeTime()
    with pytest.raises(UnavailableError):
        run(Service(otherwise=lambda _: Response(status=500)), history, time)
    assert len(time.waits) == 5
    for number, wait in enumerate(time.waits):
        assert 0.25 * 2**number <= wait <= 0.5 * 2**number


@pytest.mark.parametrize(
    ("header", "waits"), [("7", 7.0), ("0", 0.0), ("3600", 60.0), (formatdate(1_005), 5.0)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(header: str, waits: float, status: int) -> None:
    time = FakeTime()
    run(Service(Response(status=status, headers={"Retry-After": header})), history, time)
    assert sum(time.waits) == pytest.approx(waits)


def test_retries_are_logged_at_most_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    time = FakeTime()
    caplog.set_level("INFO")
    service = Service(otherwise=lambda _: Response(status=429, headers={"Retry-After": "0.25"}))
    failing(service, time=time)
    # 19 waits of a quarter of a second.
    assert sum("next in 0.2 s" in one for one in caplog.messages) == 5


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3600", "3,600"), ("9" * 60, "999,999,999"), (formatdate(87_400), "86,400")],
)
def test_a_long_retry_after_is_capped_warned_of_once_and_in_the_error(
    header: str, seconds: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    time = FakeTime()
    caplog.set_level("WARNING")
    headers = {"Retry-After": header}
    service = Service(otherwise=lambda _: Response(status=status, headers=headers))
    error = failing(service, time=time)
    assert max(time.waits) <= 60.0
    warnings = [one for one in caplog.messages if "Trying again every 60 s" in one]
    assert f"HTTP {status}, which asks to wait {seconds} s" in warnings[0]
    # 19 waits of a minute after 429, of which one in ten minutes is warned of; 5 after 503.
    assert len(warnings) == (2 if status == 429 else 1)
    assert f"HTTP {status}, which asks to wait " in str(error)


def test_retry_after_zero_is_bounded_too() -> None:
    service = Service(otherwise=lambda _: Response(status=429, headers={"Retry-After": "0"}))
    assert isinstance(failing(service), UnavailableError)
    assert len(service.requests) == 6


def test_throttling_is_retried_longer_than_failures() -> None:
    throttled = [Response(status=429, headers={"Retry-After": "1"}) for _ in range(15)]
    service = Service(*throttled)
    assert run(service, history).Rows == 0
    assert len(service.requests) == 16


def update(api: LoyaltyApi) -> Awaitable[Any]:
    return api.call(CLIENT_UPDATE, UPDATE)


@pytest.mark.parametrize(
    "fault",
    [
        Response(status=500),
        Response(status=503),
        Response(body=TIMED_OUT),
        Response(body=b"<html>", content_type="text/html"),
        Response(cut=5),
        Response(dropped=True),
    ],
)
def test_an_update_that_may_have_arrived_is_not_sent_again(fault: Response) -> None:
    service = Service(fault, Response(DONE))
    assert isinstance(failing(service, update), TransientError)
    assert len(service.requests) == 1


def test_an_update_whose_response_is_late_is_not_sent_again() -> None:
    service = Service(otherwise=lambda _: Response(DONE, delay=60.0))
    # Long enough to send the request on a machine under load.
    error = failing(service, update, timeout=1.5)
    assert isinstance(error, TransportError)
    assert not error.never_sent
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [429, 401])
def test_an_update_refused_with_429_or_401_is_sent_again(status: int) -> None:
    service = Service(Response(status=status), Response(DONE))
    assert run(service, update).ErrorCode == 0
    assert len(service.requests) == 2


def test_an_update_that_could_not_connect_is_sent_again() -> None:
    attempts: list[httpx.Request] = []

    def refuse_twice(request: httpx.Request) -> httpx.Response:
        attempts.append(request)
        if len(attempts) < 3:
            raise httpx.ConnectError("no route")
        return httpx.Response(200, json=DONE)

    async def main() -> Any:
        settings = Settings(_env_file=None, api_url="http://service.test/x/")
        transport = httpx.MockTransport(refuse_twice)
        clock = FakeTime().clock
        async with LoyaltyApi.from_settings(settings, transport, clock=clock) as api:
            return await update(api)

    assert asyncio.run(main()).ErrorCode == 0
    assert len(attempts) == 3


@pytest.mark.parametrize(
    "request_",
    [
        OperationHistoryRequest(Client=7, Start=-1, Length=5),
        OperationHistoryRequest(Client=7, Start=1, Length=0),
        OperationHistoryRequest(Client=0, Start=1, Length=5),
        OperationHistoryRequest(Client="7", Start=1, Length=5),  # type: ignore[arg-type]
        OperationHistoryRequest(Client=True, Start=1, Length=5),
        OperationHistoryRequest(Client=2**63, Start=1, Length=5),
        OperationHistoryRequest(Start=1, Length=5),
        OperationHistoryRequest(Client=7, Start=1),
        OperationHistoryRequest(Client=7, Start=1, Length=5, PosCode="a\x01"),
        OperationHistoryRequest(Client=7, Start=1, Length=5, PosCode=object()),  # type: ignore[arg-type]
        SetClientUpdateRequest(Client=7),
    ],
)
def test_an_invalid_request_is_never_sent(request_: Any) -> None:
    service = Service()
    error = failing(service, lambda api: api.call(OPERATION_HISTORY, request_))
    assert isinstance(error, RequestError)
    assert service.requests == []


@pytest.mark.parametrize(
    "date", ["2000-01-01T00:00:00Z", "2000-01-01T00:00:00+03:00", "01.02.2000"]
)
def test_a_date_with_an_offset_is_never_sent(date: str) -> None:
    service = Service()
    request = SetClientUpdateRequest(Client=7, Birthdate=date)
    error = failing(service, lambda api: api.call(CLIENT_UPDATE, request))
    assert isinstance(error, RequestError)
    assert "Birthdate" in str(error)
    assert service.requests == []


def test_an_update_without_a_client_is_never_sent() -> None:
    request = SetClientUpdateRequest(Name="x")
    error = failing(Service(), lambda api: api.call(CLIENT_UPDATE, request))
    assert "Client is missing" in str(error)


def test_a_401_without_a_login_is_retried_once() -> None:
    service = Service(otherwise=lambda _: Response(status=401))
    error = failing(service, token="42")
    assert isinstance(error, AuthenticationError)
    assert len(service.requests) == 2
    assert "LCM_TOKEN" in str(error)


def test_compressed_responses_are_read() -> None:
    body = gzip.compress(json.dumps(EMPTY_HISTORY | {"Rows": 4}).encode())
    response = run(Service(Response(body, headers={"Content-Encoding": "gzip"})), history)
    assert response.Rows == 4


def test_cookies_of_the_server_are_not_sent_back() -> None:
    service = Service(Response(headers={"Set-Cookie": "ASP.NET_SessionId=abc; path=/"}))

    async def act(api: LoyaltyApi) -> None:
        await history(api)
        await history(api)

    run(service, act)
    assert "cookie" not in service.requests[1].headers


def test_errors_logs_and_reprs_contain_no_secrets_or_personal_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ("7777123", "sesame-street", "open-the-door", "9001234567", "anna@example.ru", "Анна")
    leaky = (
        "Клиент Анна Петрова, тел. +7 900 123-45-67, 9001234567, карта 4276 1234 5678 9012, "
        "почта anna@example.ru не найдена, token 7777123"
    )
    login = {"access_token": "sesame-street-token", "expires_in": 3600}
    overloaded = {"ErrorCode": 10, "Message": "Timeout expired " + leaky}
    rejected = {"ErrorCode": 8, "Message": leaky}
    service = Service(Response(login), Response(overloaded), Response(rejected))
    shown = []

    async def act(api: LoyaltyApi) -> Any:
        shown.append(repr(api) + repr(vars(api)) + repr(api._authenticator))
        request = OperationHistoryRequest(Client=7, Phone=9001234567, Start=1, Length=5)
        return await api.call(OPERATION_HISTORY, request)

    credentials = {"username": "robot", "password": "open-the-door", "site_code": "sesame-street"}
    error = failing(service, act, token="7777123", **credentials)
    seen = "\n".join([*shown, str(error), repr(error), caplog.text])
    for secret in secrets:
        assert secret not in seen
    for part in ("Петрова", "123-45-67", "4276", "9012", "Bearer"):
        assert part not in seen
    assert "не найдена" in str(error)
    assert "client 7" in str(error)


def test_the_hook_runs_before_each_request_and_retry() -> None:
    request_counts: list[int] = []

    async def act(api: LoyaltyApi) -> Any:
        async def may_send() -> bool:
            request_counts.append(api.counts.requests)
            return True

        api.gate.check_before_each_request(may_send)
        await history(api)

    run(Service(Response(status=503), Response()), act)
    assert sorted(set(request_counts)) == [0, 1]


def test_a_request_is_not_sent_if_the_hook_raises() -> None:
    service = Service()

    async def act(api: LoyaltyApi) -> Any:
        async def refuse() -> bool:
            raise RuntimeError("no more")

        api.gate.check_before_each_request(refuse)
        await history(api)

    with pytest.raises(RuntimeError, match="no more"):
        run(service, act)
    assert service.requests == []


def test_our_secrets_are_removed_from_rows_and_messages_that_echo_them() -> None:
    site, token = "widget-5f2c9a", 90210
    row = {"Id": 1, "PosName": f"for {site}", "Amount": token}
    echo = {"ErrorCode": 0, "Rows": 1, "Operations": [row]}
    refused = {"ErrorCode": 7, "Message": f"token {token} of {site} is wrong"}

    async def act() -> str:
        service = Service(Response(echo), Response(refused))
        async with connected(service, site_code=site, token=str(token)) as api:
            response = await api.call(OPERATION_HISTORY, REQUEST)
            with pytest.raises(BusinessError) as error:
                await api.call(OPERATION_HISTORY, REQUEST)
        return f"{[bytes(raw) for raw in response.Operations or ()]} {error.value!r} {error.value}"

    shown = asyncio.run(act())
    assert site not in shown
    assert f'"Amount":{token}' in shown.replace(" ", "")
    assert shown.count(str(token)) == 1
