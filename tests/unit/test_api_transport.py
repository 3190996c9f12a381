"""Bytes on the wire: malformed heads and bodies, compression, limits of size and time."""

import asyncio
import contextlib
import gzip
import json
import logging
import random
import time
import tracemalloc
import zlib
from collections.abc import Awaitable, Iterable
from typing import Any

import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.clocks import Clock
from lcm_pipeline.api.compression import CompressionError, SizeError, decompress
from lcm_pipeline.api.errors import (
    BusinessError,
    ForbiddenError,
    LoyaltyApiError,
    MalformedError,
    OverloadedError,
    TooLargeError,
    TransientError,
    TransportError,
    UnavailableError,
)
from lcm_pipeline.api.scrubbing import scrub
from lcm_pipeline.model.endpoints import CLIENT_UPDATE, OPERATION_HISTORY
from lcm_pipeline.model.payloads import OperationHistoryRequest, SetClientUpdateRequest
from tests.unit.api_service import EMPTY_HISTORY, FakeTime, Response, Service, run

REQUEST = OperationHistoryRequest(Client=7, Start=1, Length=500)
EMPTY = json.dumps(EMPTY_HISTORY).encode()
MEGABYTE = 2**20


def history(api: LoyaltyApi) -> Awaitable[Any]:
    return api.call(OPERATION_HISTORY, REQUEST)


def update(api: LoyaltyApi) -> Awaitable[Any]:
    return api.call(CLIENT_UPDATE, SetClientUpdateRequest(Client=7, Name="Анна"))


def failing(service: Service, act: Any = history, **settings: Any) -> LoyaltyApiError:
    with pytest.raises(LoyaltyApiError) as caught:
        run(service, act, **settings)
    str(caught.value).encode()  # raises if it cannot be printed
    return caught.value


def always(response: Response) -> Service:
    return Service(otherwise=lambda _: response)


def raw(head: bytes, body: bytes = EMPTY) -> Response:
    return Response(raw=head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


REASONS = [
    "Внутренняя ошибка".encode("cp1251"),
    b"\xff\xfe\x80",
    "Ошибка".encode(),
    b"",
    b"x" * 9000,
]


@pytest.mark.parametrize("reason", REASONS, ids=range(len(REASONS)))
def test_a_reason_phrase_of_any_bytes_does_not_hide_the_status(reason: bytes) -> None:
    service = Service(Response(status=500, reason=reason))
    assert run(service, history).Rows == 0
    assert len(service.requests) == 2
    error = failing(always(Response(status=404, reason=reason)))
    assert isinstance(error, ForbiddenError)
    assert error.status == 404
    assert run(Service(Response(reason=reason)), history).Rows == 0
    assert (
        run(Service(Response(status=503, reason=reason), Response(reason=reason)), history).Rows
        == 0
    )


ODD_RESPONSES = [
    b"",
    b"\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 20000 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n12345",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nna me: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX\xff: x\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: \xff\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: 2\r\n\r\n{}" % (b"gzip," * 99),
    b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 1\r\n\r\n\x78",
    b"HTTP/1.1 200 OK\r\nX: %s\r\nContent-Length: 2\r\n\r\n{}" % (b"x" * 2**20),
    b"HTTP/1.1 200 OK\r\n%s\r\n{}" % (b"X: x\r\n" * 5_000),
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x15\x03\x01\x00\x02\x02\x0a",
    b"<html>busy</html>",
    bytes(range(256)) * 40,
]


@pytest.mark.parametrize("response", ODD_RESPONSES, ids=range(len(ODD_RESPONSES)))
def test_an_invalid_response_is_an_error_and_retried(response: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            service.requests.append(None)  # type: ignore[arg-type]
            writer.write(response)
            await writer.drain()

    service = Service()
    service.serve = serve  # type: ignore[method-assign]
    error = failing(service)
    assert isinstance(error, TransportError | MalformedError | UnavailableError)
    assert len(service.requests) == 6
    assert isinstance(failing(service, update), TransientError)
    assert not error.never_sent


def test_an_unexpected_exception_is_an_error_of_that_call(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)

    personal = "-".join(["900", "123", "45", "67"])

    def defect(*_: Any, **__: Any) -> Any:
        raise ValueError(personal)

    monkeypatch.setattr("lcm_pipeline.api.client.parse_response", defect)
    service = always(Response())
    error = failing(service)
    assert isinstance(error, MalformedError)
    assert "the response cannot be read (ValueError)" in str(error)
    assert len(service.requests) == 6
    seen = [record.getMessage() for record in caplog.records if "lcm" in record.name]
    assert len(seen) == 1
    assert "in defect" in seen[0]
    assert personal not in caplog.text + str(error)
    assert error.__cause__ is None


def test_an_exception_while_a_response_is_fetched_is_a_transport_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defect(*_: Any) -> Any:
        raise KeyError("x")

    monkeypatch.setattr("lcm_pipeline.api.transport._read_headers", defect)
    service = always(Response())
    error = failing(service)
    assert isinstance(error, TransportError)
    assert "(KeyError)" in str(error)
    assert not error.never_sent
    assert len(service.requests) == 6


@pytest.mark.parametrize(
    "retry_after",
    ["Fri, 31 Dec 99999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +2359", "9" * 5000, "-1", "nan",
     "1e999", "Fri, 32 Foo 2026", "Sun, 06 Nov 1994 08:49:37 GMT", "۵", ";;;", ","],
    ids=range(11),
)  # fmt: skip
@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_of_any_text_is_tolerated(status: int, retry_after: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            service.requests.append(None)  # type: ignore[arg-type]
            head = f"HTTP/1.1 {status} X\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n"
            writer.write(head.encode())
            await writer.drain()

    service = Service()
    service.serve = serve  # type: ignore[method-assign]
    assert isinstance(failing(service), UnavailableError)
    assert len(service.requests) in (6, 20)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"null", "got JSON, but no object"),
        (b" []", "got JSON, but no object"),
        (b'"ok"', "got JSON, but no object"),
        (b"7", "got JSON, but no object"),
        (b"[" * 100_000, "got neither JSON nor XML"),
        (b"nothing here", "got neither JSON nor XML"),
        (b" ", "the response body is empty"),
    ],
    ids=["null", "list", "text", "number", "nested", "words", "blank"],
)
def test_a_body_that_is_no_object_is_named_for_what_it_is(body: bytes, reason: str) -> None:
    error = failing(always(raw(b"HTTP/1.1 200 OK", body)))
    assert isinstance(error, MalformedError)
    assert reason in str(error)


@pytest.mark.parametrize("length", [8_500, 60_000, 200_000])
def test_long_headers_are_read(length: int) -> None:
    for name in ("Set-Cookie", "X-Trace", "Content-Security-Policy"):
        assert run(Service(Response(headers={name: "a=" + "x" * length})), history).Rows == 0
    many = {f"X-{number}": "x" * 100 for number in range(500)}
    assert run(Service(Response(headers=many)), history).Rows == 0


def test_a_header_that_is_too_long_is_reported() -> None:
    error = failing(always(Response(headers={"X": "x" * 2**20})))
    assert "header of the response is longer than" in str(error)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://login.example/sso?token=secret&x=1#y", "https://login.example/sso"),
        ("https://anna:sesame@login.example:8443/a/b", "https://login.example:8443/a/b"),
        ("/maintenance", "/maintenance"),
        ("//other.example/x;jsessionid=AB12CD34EF56AB12CD34", "other.example/x"),
        ("https://h.example/9001234567/anna@example.ru/eyJhbGciOiJIUzI1NiJ9", "https://h.example/"),
        ("http://127.0.0.1:18116/x", "http://127.0.0.1:18116/x"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("https://login2.loyalty.example/x", "https://login2.loyalty.example/x"),
        ("https://9001234567.example/", "https://[number].example/"),
        ("https://[bad/", "an address that cannot be read"),
        ("https://h.example:99999/", "an address that cannot be read"),
        ("https://h.example/\u001b[31m", "https://h.example/"),
        ("https://h.example/" + "x/" * 3000, "https://h.example/x/x/"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_reports_its_target_without_secrets(
    status: int, location: str, shown: str
) -> None:
    error = failing(always(Response(status=status, headers={"Location": location})))
    assert isinstance(error, ForbiddenError)
    assert f"HTTP {status}, which points to " in error.reason
    assert shown in error.reason
    assert len(error.reason) < 300
    for secret in ("secret", "sesame", "anna", "AB12CD", "9001234567", "eyJ", "\x1b"):
        assert secret not in str(error)


def test_a_redirect_without_a_location_is_reported_by_its_status() -> None:
    assert failing(always(Response(status=302))).reason == "HTTP 302"


@pytest.mark.parametrize("status", [301, 400, 403, 404, 409, 423])
@pytest.mark.parametrize(
    "broken",
    [
        {"cut": 10},
        {"headers": {"Content-Encoding": "gzip"}},
        {"content_type": "application/json; charset=undefined"},
        {"body": b"x" * 3 * MEGABYTE},
        {"body": b""},
    ],
    ids=range(5),
)
def test_a_status_is_reported_whatever_is_wrong_with_its_body(
    status: int, broken: dict[str, Any]
) -> None:
    service = always(Response(status=status, **broken))
    error = failing(service, max_answer_mb=1)
    assert isinstance(error, ForbiddenError)
    assert error.status == status
    assert len(service.requests) == 1


def test_an_endless_body_of_an_error_is_not_awaited() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 404 X\r\nContent-Length: 99\r\n\r\n{")
            await asyncio.sleep(60)

    service = Service()
    service.serve = serve  # type: ignore[method-assign]
    assert isinstance(failing(service, timeout=50.0), ForbiddenError)


def deflated(body: bytes, window: int) -> bytes:
    packer = zlib.compressobj(wbits=window)
    return packer.compress(body) + packer.flush()


COMPRESSED = {
    "gzip": gzip.compress(EMPTY, mtime=0),
    "x-gzip": gzip.compress(EMPTY, mtime=0),
    "GZip": gzip.compress(EMPTY, mtime=0),
    "gzip ": gzip.compress(EMPTY[:20], mtime=0)
    + gzip.compress(EMPTY[20:40], mtime=0)
    + gzip.compress(EMPTY[40:], mtime=0),
    " gzip": gzip.compress(EMPTY, mtime=0) + b"\0" * 512,
    "deflate": deflated(EMPTY, zlib.MAX_WBITS),
    "Deflate": deflated(EMPTY, -zlib.MAX_WBITS),
    "deflate, gzip": gzip.compress(deflated(EMPTY, zlib.MAX_WBITS)),
    "identity": EMPTY,
    "gzip, identity": gzip.compress(EMPTY, mtime=0),
}


@pytest.mark.parametrize(("coding", "body"), COMPRESSED.items(), ids=COMPRESSED)
def test_compressed_bodies_are_read(coding: str, body: bytes) -> None:
    assert run(Service(Response(body, headers={"Content-Encoding": coding})), history).Rows == 0


@pytest.mark.parametrize(
    "body", [gzip.compress(EMPTY, mtime=0)[:-9], gzip.compress(EMPTY, mtime=0)[:-1], b"\x1f\x8b"]
)
def test_a_truncated_compressed_body_is_requested_again(body: bytes) -> None:
    service = Service(Response(body, headers={"Content-Encoding": "gzip"}))
    assert run(service, history).Rows == 0
    assert len(service.requests) == 2


@pytest.mark.parametrize("length", [1, 1_000, 1_024, 3_000, 200_000])
def test_members_of_any_length_are_joined(length: int) -> None:
    first, second = (random.Random(seed).randbytes(length) for seed in (1, 2))
    compressed = gzip.compress(first) + gzip.compress(b"") * 3 + gzip.compress(second)
    assert decompress(compressed, "gzip", 2 * length) == first + second
    with pytest.raises(SizeError):
        decompress(compressed, "gzip", 2 * length - 1)
    with pytest.raises(CompressionError):
        decompress(compressed[:-1], "gzip", 2 * length)


def bomb(size: int, coding: str = "gzip") -> bytes:
    """Compress `size` megabytes of blanks to some kilobytes."""
    window = {"gzip": 16 + zlib.MAX_WBITS, "deflate": -zlib.MAX_WBITS}[coding]
    packer = zlib.compressobj(wbits=window)
    blanks = b" " * MEGABYTE
    return b"".join([*(packer.compress(blanks) for _ in range(size)), packer.flush()])


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b" " * (2 * MEGABYTE), ""),
        (bomb(300), "gzip"),
        (bomb(300), "x-gzip"),
        (bomb(300, "deflate"), "deflate"),
        (b"".join([bomb(1)] * 300), "gzip"),
        (gzip.compress(bomb(300), mtime=0), "gzip, gzip"),
    ],
    ids=range(6),
)
def test_a_response_that_is_too_large_is_neither_retried_nor_held_in_memory(
    body: bytes, coding: str
) -> None:
    service = always(Response(body, headers={"Content-Encoding": coding}))
    tracemalloc.start()
    try:
        error = failing(service, max_answer_mb=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(error, TooLargeError)
    assert "larger than 1 MB (LCM_MAX_ANSWER_MB)" in str(error)
    assert len(service.requests) == 1
    assert peak < 30 * MEGABYTE


def test_a_response_without_a_length_is_measured_as_it_arrives() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            service.requests.append(None)  # type: ignore[arg-type]
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
                await writer.drain()

    service = Service()
    service.serve = serve  # type: ignore[method-assign]
    assert isinstance(failing(service, max_answer_mb=2), TooLargeError)
    assert len(service.requests) == 1


def test_a_response_as_large_as_allowed_is_read() -> None:
    body = EMPTY + b" " * (MEGABYTE - len(EMPTY))
    for response in (
        Response(body),
        Response(gzip.compress(body), headers={"Content-Encoding": "gzip"}),
        Response(deflated(body, 15), headers={"Content-Encoding": "deflate"}),
    ):
        assert run(Service(response), history, max_answer_mb=1).Rows == 0


def slow(pieces: Iterable[bytes], pause: float) -> tuple[Service, list[float]]:
    """A service that sends its response piece by piece, and the times of its requests."""
    began: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            began.append(time.monotonic())
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)

    service = Service()
    service.serve = serve  # type: ignore[method-assign]
    return service, began


class SleeplessTime(FakeTime):
    """The real clock, but without sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(sleep=self.sleep)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", *[b" "] * 500],
        [b"HTTP/1.1 200 OK\r\n", *[b"X: x\r\n"] * 500],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 500],
        [b""] * 500,
    ],
    ids=["body", "head", "chunks", "silence"],
)
def test_an_endless_response_blocks_a_call_for_two_time_outs(pieces: list[bytes]) -> None:
    service, began = slow(pieces, pause=0.05)
    error = failing(service, time=SleeplessTime(), timeout=0.5)
    assert isinstance(error, TransportError)
    assert "no complete response within 0.5 s (LCM_TIMEOUT)" in str(error)
    assert len(began) == 2
    assert error.attempts == 2


def test_immediate_failures_are_still_tried_six_times() -> None:
    service = always(Response(status=500))
    failing(service, time=SleeplessTime(), timeout=5.0)
    assert len(service.requests) == 6


WORDS = (
    *("превышен", "превышен ", "взаимн", "взаимных ", "тупиков", "time", "timed ", "слово ", "a1"),
    *("a@", "ИВАНОВ", "Иван ", "А. ", "1 ", " ", "<", "Ааа-", "eyJ", "bearer ", "«"),
)


@pytest.mark.parametrize("word", WORDS)
def test_a_message_of_many_words_is_read_in_linear_time(word: str) -> None:
    message = word * 60_000
    service = Service(
        Response({"ErrorCode": 5, "Message": message}),
        otherwise=lambda _: Response(EMPTY_HISTORY | {"Message": message}),
    )
    began = time.process_time()
    error = failing(service)
    assert isinstance(error, BusinessError)
    run(service, history)
    # Quadratic time would take a minute or more on any machine.
    assert time.process_time() - began < 20
    assert len(scrub(message)) <= 160


@pytest.mark.parametrize(
    "text", ["Превышено время ожидания", "взаимной блокировкой", "Timeout expired"]
)
def test_time_out_messages_are_recognized_in_a_long_text(text: str) -> None:
    error = failing(always(Response({"ErrorCode": 10, "Message": text + " x" * 50_000})))
    assert isinstance(error, OverloadedError)


def test_mutated_responses_raise_only_api_errors() -> None:
    chance = random.Random(7)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
    body = json.dumps(EMPTY_HISTORY | {"Operations": [{"Id": 1, "PosName": "Магазин"}], "Rows": 1})
    whole = head + b"Content-Length: %d\r\n\r\n" % len(body.encode()) + body.encode()

    def mutated() -> bytes:
        bytes_ = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(bytes_))
            match chance.randrange(3):
                case 0:
                    bytes_[at] = chance.randrange(256)
                case 1:
                    del bytes_[at : at + chance.randint(1, 20)]
                case _:
                    bytes_[at:at] = chance.randbytes(chance.randint(1, 5))
        return bytes(bytes_)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(mutated())
            await writer.drain()

    async def act(api: LoyaltyApi) -> None:
        for _ in range(150):
            with contextlib.suppress(LoyaltyApiError):
                await history(api)

    service = Service()
    service.serve = serve  # type: ignore[method-assign]
    run(service, act)
