"""Serves a `World` as the vendor's API would, with a constant latency, in a separate process.

Written so that it limits no contestant: HTTP is parsed by hand, and a response waits in a timer
instead of a task. It counts the requests and reports them on /seen; /forget resets the counts, and
/grow changes fields of the world, such as how many clients have one more operation. Unknown paths
are refused with 404.
"""

import argparse
import asyncio
import json
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from benchmarks.world import FIRST_CLIENT, World

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_PREFIX = b"/api/client/"


@dataclass
class Seen:
    """The requests since the start or the last /forget."""

    arrivals: "dict[str, array[float]]" = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    in_flight: int = 0
    most_in_flight: int = 0
    cpu_before: float = field(default_factory=time.process_time)

    def summary(self) -> dict[str, Any]:
        """As JSON: moments of the machine's monotonic clock, by path; times in seconds."""
        return {
            "arrivals": {path: list(moments) for path, moments in self.arrivals.items()},
            "answered": self.answered,
            "most_in_flight": self.most_in_flight,
            "cpu": time.process_time() - self.cpu_before,
        }


class Service:
    """The endpoints by path."""

    def __init__(self, world: World, latency: float) -> None:
        self.world = world
        self.latency = latency
        self.seen = Seen()
        self.handlers: dict[bytes, Callable[[dict[str, Any]], bytes]] = {
            b"ClientInfoPeriod": self._registrations,
            b"OperationHistory": self._operations,
            b"LeadsPagingInfo": self._leads,
            b"ClientFavoriteDataInfo": self._favourites,
        }

    def control(self, path: bytes, body: bytes) -> bytes | None:
        """Handle a request of the benchmark itself; None for an unknown path."""
        if path == b"/seen":
            return json.dumps(self.seen.summary()).encode()
        if path == b"/forget":
            self.seen = Seen()
            return b"{}"
        if path == b"/grow":
            self.world = replace(self.world, **json.loads(body))
            return b"{}"
        return None

    def _registrations(self, request: dict[str, Any]) -> bytes:
        begins = datetime.fromisoformat(request["BegDate"])
        ends = datetime.fromisoformat(request["EndDate"])
        rows = self.world.registered_between(begins, ends)
        return b'{"Clients":[%s],"ErrorCode":0,"Message":null}' % rows

    def _operations(self, request: dict[str, Any]) -> bytes:
        client = int(request["Client"])
        index = client - FIRST_CLIENT
        rows = self.world.operations_page(index, request["Start"], request["Length"])
        return (
            b'{"Client":%d,"Phone":%d,"Card":%d,"Rows":%d,"Operations":[%s],"ErrorCode":0,'
            b'"Message":null}'
            % (client, 9_000_000_000 + index, client * 10, self.world.operations_of(index), rows)
        )

    def _leads(self, request: dict[str, Any]) -> bytes:
        index = int(request["Client"]) - FIRST_CLIENT
        rows = self.world.leads_page(index, request["Start"], request["Length"])
        return (
            b'{"TotalRows":%d,"TotalRowsSelect":%d,"LeadsClients":[%s],"ErrorCode":0,"Message":null}'
            % (self.world.leads, rows.count(b'"Leads"'), rows)
        )

    def _favourites(self, request: dict[str, Any]) -> bytes:
        index = int(request["Client"]) - FIRST_CLIENT
        offers, goods = self.world.offers_page(index, request["Start"], request["Length"])
        return (
            b'{"TotalRows":%d,"TotalRowsSelect":%d,"MaxLinkGoods":3,"NowLinkGoods":1,'
            b'"RemainLinkGoods":2,"RemainCountPurchases":0,"RemainGain":0.00,'
            b'"RemainEveryGain":0.00,"CountOffer":%d,"CountConfirm":%d,"CountPurchases":%d,'
            b'"SumGain":%d.00,"AvgFavorite":120.50,"AvgAll":310.25,"ClientFavorites":[%s],'
            b'"ListFavorites":[%s],"GroupFavorites":[],"ErrorCode":0,"Message":null}'
            % (
                self.world.offers, offers.count(b'"Confirm"'), self.world.offers,
                self.world.offers, index % 9, index % 9 * 100, offers, goods,
            )
        )  # fmt: skip


class Connection(asyncio.Protocol):
    """One keep-alive connection; a request is handled once it has arrived completely."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            body_end = end + 4 + _content_length(head)
            if len(self._received) < body_end:
                return
            body, self._received = self._received[end + 4 : body_end], self._received[body_end:]
            self._handle(head.split(b" ", 2)[1], body)

    def _handle(self, path: bytes, body: bytes) -> None:
        service = self._service
        name = path.removeprefix(_PREFIX)
        handler = service.handlers.get(name) if name is not path else None
        if handler is None:
            content = service.control(path, body)
            self._write(_NOT_FOUND if content is None else _HEAD % len(content) + content)
            return
        seen = service.seen
        path_name = name.decode()
        seen.arrivals.setdefault(path_name, array("d")).append(time.monotonic())
        seen.in_flight += 1
        seen.most_in_flight = max(seen.most_in_flight, seen.in_flight)
        loop = asyncio.get_running_loop()
        due = loop.time() + service.latency
        content = handler(json.loads(body))
        loop.call_at(due, self._respond, seen, path_name, _HEAD % len(content) + content)

    def _respond(self, seen: Seen, path_name: str, response: bytes) -> None:
        seen.in_flight -= 1
        seen.answered[path_name] = time.monotonic()
        self._write(response)

    def _write(self, response: bytes) -> None:
        if self._transport is not None:
            self._transport.write(response)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(world: World, latency: float) -> None:
    """Serve on a free loopback port until the process ends; the port is the first line printed."""
    service = Service(world, latency)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Parse the flags and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds")
    parser.add_argument("--world", default="{}", help="fields of World, as JSON")
    flags = parser.parse_args()
    asyncio.run(serve(World(**json.loads(flags.world)), flags.latency))


if __name__ == "__main__":
    main()
