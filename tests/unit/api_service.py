"""A small HTTP server for tests: real sockets, one scripted response per request.

It can send what no framework allows: a truncated body, a dropped connection, nothing at all.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.clocks import Clock
from lcm_pipeline.api.retries import RetryPolicy
from lcm_pipeline.settings import Settings
from tests.waiting import PATIENCE

EMPTY_HISTORY = {"Client": 7, "Rows": 0, "Operations": [], "ErrorCode": 0, "Message": None}


@dataclass
class Request:
    """One request as the server received it."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Response:
    """One scripted response.

    cut: drop the connection after that many bytes of the body. raw: the whole response as sent on
    the wire, instead of the other fields. reason: the text after the status.
    """

    body: Any = field(default_factory=lambda: EMPTY_HISTORY)
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    dropped: bool = False
    delay: float = 0.0
    raw: bytes | None = None
    reason: bytes = b"X"

    def payload(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Service:
    """Sends the responses of `script` in turn, then always those of `otherwise`."""

    def __init__(
        self, *script: Response, otherwise: Callable[[Request], Response] = lambda _: Response()
    ) -> None:
        self.script = list(script)
        self.otherwise = otherwise
        self.requests: list[Request] = []
        self.first_request = asyncio.Event()
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._respond_once(reader, writer):
                pass

    async def _respond_once(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        start, *lines = head.strip().split("\r\n")
        headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        at = asyncio.get_running_loop().time()
        self.requests.append(Request(start.split()[1], headers, body, at))
        self.first_request.set()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        response = self.script.pop(0) if self.script else self.otherwise(self.requests[-1])
        await asyncio.sleep(response.delay)
        self.in_flight -= 1
        if response.dropped:
            return False
        if response.raw is not None:
            writer.write(response.raw)
            await writer.drain()
            return True
        payload = response.payload()
        given = {"Content-Type": response.content_type, "Content-Length": str(len(payload))}
        lines = [f"{name}: {value}" for name, value in (given | response.headers).items() if value]
        writer.write(b"HTTP/1.1 %d %s\r\n" % (response.status, response.reason))
        writer.write("\r\n".join([*lines, "", ""]).encode())
        writer.write(payload[: response.cut])
        await writer.drain()
        return response.cut is None


class FakeTime:
    """A clock that moves only when a caller sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.waits: list[float] = []
        self.clock = Clock(monotonic=lambda: self.now, wall=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@asynccontextmanager
async def running(service: Service, tls: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    connections: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await service.serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            connections.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


@contextmanager
def running_in_thread(service: Service, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run the service in a thread, for a test without an event loop; yields the port."""
    started, stopped = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running(service, tls):
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(PATIENCE)
    try:
        yield service.port
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(PATIENCE)
        loop.close()


@asynccontextmanager
async def connected(
    service: Service, time: FakeTime | None = None, **settings: Any
) -> AsyncIterator[LoyaltyApi]:
    """Start the service and a client for it, which by default only pretends to sleep."""
    time = time or FakeTime()
    async with running(service):
        base = {"api_url": f"http://127.0.0.1:{service.port}/WebService/XYZ/", "timeout": 5.0}
        given = Settings(_env_file=None, **(base | settings))
        async with LoyaltyApi.from_settings(given, clock=time.clock, policy=RetryPolicy()) as api:
            yield api


def run(
    service: Service,
    act: Callable[[LoyaltyApi], Awaitable[Any]],
    time: FakeTime | None = None,
    **settings: Any,
) -> Any:
    """Act with a client of the service, as `connected` makes it, and return the result."""

    async def main() -> Any:
        async with connected(service, time, **settings) as api:
            return await act(api)

    return asyncio.run(main())
