"""A small HTTP server of the tests: real sockets, one scripted answer per request.

It can answer what no framework lets a test answer: a body cut off, a connection dropped, nothing.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.retries import Clock, RetryPolicy
from lcm_pipeline.settings import Settings

EMPTY_HISTORY = {"Client": 7, "Rows": 0, "Operations": [], "ErrorCode": 0, "Message": None}


@dataclass
class Asked:
    """One request as the server got it."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """One answer; `cut` drops the connection after so many bytes of the body.

    raw: the whole response as it goes on the wire, in place of all that. reason: after the status.
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
    """Answers from `script` in turn, then for ever from `otherwise`."""

    def __init__(
        self, *script: Answer, otherwise: Callable[[Asked], Answer] = lambda asked: Answer()
    ) -> None:
        self.script = list(script)
        self.otherwise = otherwise
        self.asked: list[Asked] = []
        self.first_asked = asyncio.Event()
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer_one(reader, writer):
                pass

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        start, *lines = head.strip().split("\r\n")
        headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        at = asyncio.get_running_loop().time()
        self.asked.append(Asked(start.split()[1], headers, body, at))
        self.first_asked.set()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        answer = self.script.pop(0) if self.script else self.otherwise(self.asked[-1])
        await asyncio.sleep(answer.delay)
        self.in_flight -= 1
        if answer.dropped:
            return False
        if answer.raw is not None:
            writer.write(answer.raw)
            await writer.drain()
            return True
        payload = answer.payload()
        given = {"Content-Type": answer.content_type, "Content-Length": str(len(payload))}
        lines = [f"{name}: {value}" for name, value in (given | answer.headers).items() if value]
        writer.write(b"HTTP/1.1 %d %s\r\n" % (answer.status, answer.reason))
        writer.write("\r\n".join([*lines, "", ""]).encode())
        writer.write(payload[: answer.cut])
        await writer.drain()
        return answer.cut is None


class FakeTime:
    """A clock that only moves when someone waits."""

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
    """Run the service beside a test that has no loop of its own; yields the port."""
    started, stopped = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running(service, tls):
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield service.port
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(30)
        loop.close()


@asynccontextmanager
async def connected(
    service: Service, time: FakeTime | None = None, **settings: Any
) -> AsyncIterator[LoyaltyApi]:
    """Start the service and a client for it; without a clock of its own it never sleeps."""
    time = time or FakeTime()
    async with running(service):
        base = {"api_url": f"http://127.0.0.1:{service.port}/WebService/XYZ/", "timeout": 5.0}
        given = Settings(_env_file=None, **(base | settings))
        async with LoyaltyApi.from_settings(given, clock=time.clock, policy=RetryPolicy()) as api:
            yield api
