"""A simulated programme behind a raw HTTP server that can send any bytes, such as mutants.

It runs in a thread of the caller's process, and records a verdict on each response to a call that
has a mutant.
"""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from lcm_pipeline.simulator import replies, xml_format
from lcm_pipeline.simulator.endpoints import ENDPOINTS, Endpoint
from lcm_pipeline.simulator.moments import MINUTE, date_of
from lcm_pipeline.simulator.requests import Request, read_json, read_xml
from lcm_pipeline.simulator.service import Service
from tests.fuzz.mutations import Mutant, Response, mutate
from tests.fuzz.verdicts import Verdict, judge

# The endpoint, the client (for registrations, the day), and whether it is a call for goods.
Key = tuple[str, Any, bool]
LOGIN: Key = ("ManagerLogin", 0, False)
_RESET = struct.pack("ii", 1, 0)
# A mutant whose rows never end is read up to MAX_ROWS, in pages of a few rows, which takes minutes.
# After this many responses to the same call, the server fails it.
_MAX_SERVED = 500
_ROUTES = {f"api/client/{name}".lower(): endpoint for name, endpoint in ENDPOINTS.items()}


@dataclass
class Orders:
    """The mutants to send. served: the verdicts on the responses, by key, in order."""

    mutants: dict[Key, Mutant] = field(default_factory=dict)
    others: dict[int, int] = field(default_factory=dict)
    served: dict[Key, list[Verdict]] = field(default_factory=dict)
    requests: int = 0


class MutantServer:
    """Serves a programme on loopback. Set `orders` between two syncs."""

    def __init__(self, service: Service) -> None:
        self.orders = Orders()
        self._service = service
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mutants", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self._listener, limit=2**20)
        )
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.split(b"\r\n")
                headers = {
                    name.strip().lower(): value.strip()
                    for name, _, value in (line.partition(b":") for line in lines[1:])
                }
                body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
                path = lines[0].split(b" ")[1].decode("latin-1").strip("/").lower()
                self.orders.requests += 1
                response = self._respond(path, headers, body)
                if not await _send(writer, response):
                    return
        except (OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    def _respond(self, path: str, headers: Mapping[bytes, bytes], body: bytes) -> Response:
        if path == "managerlogin":
            return self._log_in(body)
        endpoint = _ROUTES[path]
        is_xml = b"xml" in headers.get(b"content-type", b"")
        request = (read_xml if is_xml else read_json)(endpoint, body)
        key = _key_of(endpoint, request)
        mutant = self.orders.mutants.get(key)
        client, day = request.get("Client", 0), str(key[1])
        with self._service.world.lock:
            fields = self._service.desk.respond(endpoint, request)
            if mutant is None:
                return _healthy(endpoint, fields, as_xml=is_xml)
            other = None
            if mutant.source == "other":
                neighbour = {**request, "Client": self.orders.others[client]}
                other = self._service.desk.respond(endpoint, neighbour)
            served = self.orders.served.setdefault(key, [])
            if served and mutant.when == "first":
                response = _healthy(endpoint, fields, as_xml=is_xml)
            elif len(served) >= _MAX_SERVED:
                response = Response(b"", b"", b"text/plain", status=503)
            else:
                response = mutate(mutant, fields, client=client, day=day, other=other)
            served.append(judge(endpoint.name, response, fields, client, goods=key[2]))
        return response

    def _log_in(self, body: bytes) -> Response:
        reply = self._service.identity.log_in(body)
        mutant = self.orders.mutants.get(LOGIN)
        served = self.orders.served.setdefault(LOGIN, [])
        served.append(Verdict("unsure"))
        if mutant is None or (mutant.when == "first" and len(served) > 1):
            return Response(reply.body, reply.body, b"application/json", status=reply.status)
        return mutate(mutant, json.loads(reply.body))


def _key_of(endpoint: Endpoint, request: Request) -> Key:
    if endpoint.name == "ClientInfoPeriod":
        # A day is requested from a little before its beginning, or in parts.
        begins = request.get("BegDate")
        return endpoint.name, str(date_of(begins + MINUTE)) if begins else "", False
    return endpoint.name, request.get("Client"), "ClientFavoriteId" in request


def _healthy(endpoint: Endpoint, fields: Any, *, as_xml: bool) -> Response:
    if as_xml:
        body = xml_format.write_xml(endpoint, fields)
        return Response(body, body, xml_format.CONTENT_TYPE.encode())
    body = replies.write_json(fields)
    return Response(body, body, replies.JSON_TYPE.encode())


async def _send(writer: asyncio.StreamWriter, response: Response) -> bool:
    """Send a response; returns whether the connection can be used again."""
    if response.stall:
        await asyncio.sleep(response.stall)
    wire = response.wire()
    step = max(1, -(-len(wire) // response.pieces))
    for at in range(0, len(wire), step):
        writer.write(wire[at : at + step])
        await writer.drain()
        if response.pieces > 1:
            await asyncio.sleep(response.pause)
    if response.resets:
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
    return not response.ends_connection
