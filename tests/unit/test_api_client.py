"""The client against a real server: addresses, identity in the body, errors, retries."""

import asyncio
import contextlib
import gzip
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import (
    BusinessError,
    ForbiddenError,
    IdentityError,
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
from tests.unit.api_service import (
    EMPTY_HISTORY,
    Answer,
    FakeTime,
    Service,
    connected,
)

ASK = OperationHistoryRequest(Client=7, Start=1, Length=500)
UPDATE = SetClientUpdateRequest(Client=7, Name="Анна")
DONE = {"ErrorCode": 0, "Message": None}
SLEEPY = {"ErrorCode": 10, "Message": "Timeout expired. The timeout period elapsed", "Rows": 9}


def run(
    service: Service,
    act: Callable[[LoyaltyApi], Awaitable[Any]],
    time: FakeTime | None = None,
    **settings: Any,
) -> Any:
    async def main() -> Any:
        async with connected(service, time, **settings) as api:
            return await act(api)

    return asyncio.run(main())


def history(api: LoyaltyApi) -> Awaitable[OperationHistoryResponse]:
    return api.call(OPERATION_HISTORY, ASK)


def failing(service: Service, act: Any = history, **settings: Any) -> LoyaltyApiError:
    with pytest.raises(LoyaltyApiError) as caught:
        run(service, act, **settings)
    return caught.value


def test_the_path_prefix_of_the_tenant_is_kept() -> None:
    service = Service()
    run(service, history)
    assert service.asked[0].path == "/WebService/XYZ/api/client/OperationHistory"


def test_the_identity_travels_in_the_body() -> None:
    service = Service()
    run(service, history, operator=3, token="42", site_code="shop")
    assert service.asked[0].json == {
        "Client": 7, "Start": 1, "Length": 500, "Operator": 3, "Token": 42, "SiteCode": "shop"
    }  # fmt: skip
    assert service.asked[0].headers["accept"] == "application/json"
    assert "authorization" not in service.asked[0].headers


def test_rows_stay_the_bytes_that_the_server_sent() -> None:
    body = b'{"Rows": 1, "Operations": [{"Id": 1,  "Amount": 1.10}], "ErrorCode": 0, "New": [1]}'
    answer = run(Service(Answer(body)), history)
    assert [bytes(raw) for raw in answer.Operations] == [b'{"Id": 1,  "Amount": 1.10}']


def test_requests_and_retries_are_counted() -> None:
    async def act(api: LoyaltyApi) -> Any:
        await history(api)
        await history(api)
        return api.counts

    counts = run(Service(Answer(status=503), Answer()), act)
    assert (counts.requests, counts.retries) == (3, 1)
    assert counts.by_endpoint == {"OperationHistory": 3}


def test_a_sibling_counts_for_itself_and_leaves_the_connections_open() -> None:
    async def act(api: LoyaltyApi) -> Any:
        async with api.sibling() as sibling:
            await history(sibling)
        await history(api)
        return api.counts, sibling.counts

    own, other = run(Service(Answer(status=503), Answer()), act)
    assert (own.requests, own.retries) == (1, 0)
    assert (other.requests, other.retries) == (2, 1)


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=500, body={"Message": "An error has occurred."}),
        Answer(status=503, body=b"<html>busy</html>", content_type="text/html"),
        Answer(status=408),
        Answer(status=429),
        Answer(body=b"<html>please wait</html>", content_type="text/html"),
        Answer(body=b"<!DOCTYPE html><p>x", content_type="application/json"),
        Answer(body=b'{"ErrorCode": 0, "Operations": [{"Id": 1}, {"Id"'),
        Answer(body=b""),
        Answer(body=b"[]"),
        Answer(body=b"[" * 100_000),
        Answer(body={"Message": "An error has occurred."}),
        Answer(body={"ErrorCode": None, "Rows": 0}),
        Answer(body=SLEEPY),
        Answer(body={"ErrorCode": 25, "Message": "Transaction was deadlocked on lock resources"}),
        Answer(body={"ErrorCode": 3, "Message": "Истекло время ожидания выполнения"}),
        Answer(cut=10),
        Answer(dropped=True),
    ],
)
def test_what_may_pass_is_asked_again(fault: Answer) -> None:
    time = FakeTime()
    service = Service(fault, Answer())
    answer = run(service, history, time)
    assert (answer.Rows, len(service.asked)) == (0, 2)
    assert len(time.waits) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Answer(status=500), UnavailableError, "HTTP 500"),
        (Answer(body=b"<html></html>", content_type="text/html"), MalformedError, "HTML"),
        (Answer(body=b'{"ErrorCode": 0, '), MalformedError, "cut off"),
        (Answer(body={"Rows": 0}), MalformedError, "no valid ErrorCode"),
        (Answer(body={"ErrorCode": 0, "Rows": "many"}), MalformedError, "not a number of rows"),
        (Answer(body=SLEEPY), OverloadedError, "ErrorCode 10 «Timeout expired."),
        (Answer(cut=3), TransportError, "cut off"),
        (Answer(dropped=True), TransportError, "connection broke"),
    ],
)
def test_what_does_not_pass_ends_after_six_attempts(
    fault: Answer, kind: type[TransientError], says: str
) -> None:
    service = Service(otherwise=lambda asked: fault)
    error = failing(service)
    assert type(error) is kind
    assert len(service.asked) == 6
    assert error.rerun_helps
    assert says in str(error)
    assert "OperationHistory for client 7 Start 1 Length 500" in str(error)
    assert "(6 attempts); a rerun may help" in str(error)


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Answer(status=403), ForbiddenError, "HTTP 403"),
        (Answer(status=404), ForbiddenError, "HTTP 404"),
        (Answer(status=302, headers={"Location": "/x"}), ForbiddenError, "HTTP 302"),
        (Answer(body={"ErrorCode": 10, "Message": "Нет прав"}), BusinessError, "ErrorCode 10"),
        (Answer(body={"ErrorCode": 77, "Message": "timeout"}), BusinessError, "ErrorCode 77"),
        (Answer(body={"ErrorCode": -1}), BusinessError, "ErrorCode -1"),
    ],
)
def test_what_is_final_is_asked_once(fault: Answer, kind: type[RejectedError], says: str) -> None:
    service = Service(otherwise=lambda asked: fault)
    error = failing(service)
    assert type(error) is kind
    assert len(service.asked) == 1
    assert not error.rerun_helps
    assert says in str(error)


def test_rows_beside_an_error_code_are_thrown_away() -> None:
    error = failing(Service(Answer({"ErrorCode": 5, "Rows": 1, "Operations": [{"Id": 1}]})))
    assert isinstance(error, BusinessError)
    assert error.code == 5


def test_an_error_code_is_believed_before_an_odd_value_beside_it() -> None:
    error = failing(Service(Answer({"ErrorCode": 5, "Rows": "many"})))
    assert isinstance(error, BusinessError)


def test_an_odd_header_value_does_not_cost_the_rows() -> None:
    body = {"ErrorCode": 0, "Rows": 1, "Phone": "", "Operations": [{"Id": 1}]}
    answer = run(Service(Answer(body)), history)
    assert answer.Rows == 1
    assert [bytes(raw) for raw in answer.Operations] == [b'{"Id": 1}']
    assert bytes(answer.Phone) == b'""'


def test_an_answer_in_another_charset_is_read() -> None:
    body = '{"ErrorCode": 9, "Message": "ошибка"}'.encode("windows-1251")
    error = failing(Service(Answer(body, content_type="application/json; charset=windows-1251")))
    assert "«ошибка»" in str(error)


def test_a_byte_order_mark_is_skipped() -> None:
    body = b"\xef\xbb\xbf" + json.dumps(EMPTY_HISTORY).encode()
    assert run(Service(Answer(body)), history).Rows == 0


def test_a_silent_server_is_a_time_out() -> None:
    error = failing(Service(otherwise=lambda asked: Answer(delay=1.0)), timeout=0.05)
    assert isinstance(error, TransportError)
    assert "no complete response within" in str(error)
    assert "LCM_TIMEOUT" in str(error)


def test_a_server_that_drips_its_answer_is_a_time_out_too() -> None:
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
    assert "no complete response within" in str(error)
    assert "LCM_TIMEOUT" in str(error)


def test_json_under_the_name_of_html_is_understood() -> None:
    assert run(Service(Answer(content_type="text/html")), history).Rows == 0


def test_a_closed_port_and_an_unknown_host_are_transport_errors() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for host in (f"127.0.0.1:{port}", "no-such-host.invalid"):
        error = failing(Service(), api_url=f"http://{host}/x/")
        assert isinstance(error, TransportError)
        assert error.never_sent


def test_back_off_grows_and_is_bounded() -> None:
    time = FakeTime()
    with pytest.raises(UnavailableError):
        run(Service(otherwise=lambda asked: Answer(status=500)), history, time)
    assert len(time.waits) == 5
    for number, wait in enumerate(time.waits):
        assert 0.25 * 2**number <= wait <= 0.5 * 2**number


@pytest.mark.parametrize(
    ("header", "waits"), [("7", 7.0), ("0", 0.0), ("3600", 60.0), (formatdate(1_005), 5.0)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(header: str, waits: float, status: int) -> None:
    time = FakeTime()
    run(Service(Answer(status=status, headers={"Retry-After": header})), history, time)
    assert sum(time.waits) == pytest.approx(waits)


def test_retry_after_zero_is_bounded_too() -> None:
    service = Service(otherwise=lambda asked: Answer(status=429, headers={"Retry-After": "0"}))
    assert isinstance(failing(service), UnavailableError)
    assert len(service.asked) == 6


def test_being_throttled_is_borne_longer_than_failing() -> None:
    throttled = [Answer(status=429, headers={"Retry-After": "1"}) for _ in range(15)]
    service = Service(*throttled)
    assert run(service, history).Rows == 0
    assert len(service.asked) == 16


def update(api: LoyaltyApi) -> Awaitable[Any]:
    return api.call(CLIENT_UPDATE, UPDATE)


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=500),
        Answer(status=503),
        Answer(body=SLEEPY),
        Answer(body=b"<html>", content_type="text/html"),
        Answer(cut=5),
        Answer(dropped=True),
    ],
)
def test_an_update_that_may_have_arrived_is_not_sent_again(fault: Answer) -> None:
    service = Service(fault, Answer(DONE))
    assert isinstance(failing(service, update), TransientError)
    assert len(service.asked) == 1


def test_an_update_whose_answer_is_late_is_not_sent_again() -> None:
    service = Service(otherwise=lambda asked: Answer(DONE, delay=1.0))
    error = failing(service, update, timeout=0.05)
    assert isinstance(error, TransportError)
    assert not error.never_sent
    assert len(service.asked) == 1


@pytest.mark.parametrize("status", [429, 401])
def test_an_update_that_was_turned_away_is_sent_again(status: int) -> None:
    service = Service(Answer(status=status), Answer(DONE))
    assert run(service, update).ErrorCode == 0
    assert len(service.asked) == 2


def test_an_update_that_never_left_is_sent_again() -> None:
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
def test_a_request_that_does_not_fit_is_never_sent(request_: Any) -> None:
    service = Service()
    error = failing(service, lambda api: api.call(OPERATION_HISTORY, request_))
    assert isinstance(error, RequestError)
    assert service.asked == []


@pytest.mark.parametrize(
    "date", ["2000-01-01T00:00:00Z", "2000-01-01T00:00:00+03:00", "01.02.2000"]
)
def test_a_date_with_an_offset_is_never_sent(date: str) -> None:
    service = Service()
    request = SetClientUpdateRequest(Client=7, Birthdate=date)
    error = failing(service, lambda api: api.call(CLIENT_UPDATE, request))
    assert isinstance(error, RequestError)
    assert "Birthdate" in str(error)
    assert service.asked == []


def test_an_update_without_a_client_is_never_sent() -> None:
    request = SetClientUpdateRequest(Name="x")
    error = failing(Service(), lambda api: api.call(CLIENT_UPDATE, request))
    assert "Client is missing" in str(error)


def test_a_401_without_a_login_is_asked_once_more_and_then_final() -> None:
    service = Service(otherwise=lambda asked: Answer(status=401))
    error = failing(service, token="42")
    assert isinstance(error, IdentityError)
    assert len(service.asked) == 2
    assert "LCM_TOKEN" in str(error)


def test_compressed_answers_are_read() -> None:
    body = gzip.compress(json.dumps(EMPTY_HISTORY | {"Rows": 4}).encode())
    answer = run(Service(Answer(body, headers={"Content-Encoding": "gzip"})), history)
    assert answer.Rows == 4


def test_cookies_of_the_server_are_not_sent_back() -> None:
    service = Service(Answer(headers={"Set-Cookie": "ASP.NET_SessionId=abc; path=/"}))

    async def act(api: LoyaltyApi) -> None:
        await history(api)
        await history(api)

    run(service, act)
    assert "cookie" not in service.asked[1].headers


def test_no_secret_and_nothing_personal_in_errors_logs_and_reprs(
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
    service = Service(Answer(login), Answer(overloaded), Answer(rejected))
    shown = []

    async def act(api: LoyaltyApi) -> Any:
        shown.append(repr(api) + repr(vars(api)) + repr(api._identity))
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


def test_leave_is_asked_before_each_request_and_retry() -> None:
    asked: list[int] = []

    async def act(api: LoyaltyApi) -> Any:
        async def before_request() -> None:
            asked.append(api.counts.requests)

        api.before_each_request(before_request)
        await history(api)

    run(Service(Answer(status=503), Answer()), act)
    assert asked == [0, 1]


def test_a_request_whose_leave_is_refused_never_leaves() -> None:
    service = Service()

    async def act(api: LoyaltyApi) -> Any:
        async def refuse() -> None:
            raise RuntimeError("no more")

        api.before_each_request(refuse)
        await history(api)

    with pytest.raises(RuntimeError, match="no more"):
        run(service, act)
    assert service.asked == []


def test_our_own_secrets_are_cut_out_of_rows_and_messages_that_echo_them() -> None:
    site, token = "widget-5f2c9a", 90210
    row = {"Id": 1, "PosName": f"for {site}", "Amount": token}
    echo = {"ErrorCode": 0, "Rows": 1, "Operations": [row]}
    refused = {"ErrorCode": 7, "Message": f"token {token} of {site} is wrong"}

    async def act() -> str:
        service = Service(Answer(echo), Answer(refused))
        async with connected(service, site_code=site, token=str(token)) as api:
            answered = await api.call(OPERATION_HISTORY, ASK)
            with pytest.raises(BusinessError) as error:
                await api.call(OPERATION_HISTORY, ASK)
        return f"{[bytes(raw) for raw in answered.Operations or ()]} {error.value!r} {error.value}"

    shown = asyncio.run(act())
    assert site not in shown
    assert f'"Amount":{token}' in shown.replace(" ", "")
    assert shown.count(str(token)) == 1
