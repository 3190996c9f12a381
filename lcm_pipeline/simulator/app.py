"""The ASGI application: routes, formats, authorization headers, faults of the connection.

It needs no framework, because it only routes. To break a connection it needs the transport, which
ASGI does not expose, so the server passes it the open transports by the address of their peer.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from lcm_pipeline.simulator import control
from lcm_pipeline.simulator.endpoints import ENDPOINTS, Endpoint
from lcm_pipeline.simulator.faults import LOGIN, ON_CONNECTION, FaultRule, reply_instead
from lcm_pipeline.simulator.replies import Reply, message_reply
from lcm_pipeline.simulator.requests import UnreadableError, read_json, read_xml
from lcm_pipeline.simulator.service import Call, Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Transports = MutableMapping[Any, asyncio.Transport]
_LOOPBACK = ("127.0.0.1", "::1")
_LINGER_NONE = struct.pack("ii", 1, 0)


class SimulatorApp:
    """The ASGI application of one service."""

    def __init__(self, service: Service, transports: Transports) -> None:
        self._service = service
        self._transports = transports
        self._base = service.config.path
        self._routes = {
            f"{self._base}api/client/{name}".lower(): endpoint
            for name, endpoint in ENDPOINTS.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        body = await _read_body(receive)
        if path.startswith(control.PATH):
            reply: Reply | None
            if scope["client"] and scope["client"][0] in _LOOPBACK:
                reply = control.control(self._service, method, path, body)
            else:
                reply = message_reply(403, "The control API is for clients on this machine only.")
        elif path.lower() == f"{self._base}managerlogin".lower():
            reply = await self._handle_login(scope, receive, body)
        elif (endpoint := self._routes.get(path.lower())) is None:
            reply = message_reply(404, f"No HTTP resource was found that matches {path}")
        elif method != "POST":
            reply = message_reply(405, f"The resource does not support http method '{method}'.")
        else:
            reply = await self._handle_call(endpoint, scope, receive, body)
        if reply is not None:
            await _send_reply(send, reply)

    async def _handle_login(self, scope: Scope, receive: Receive, body: bytes) -> Reply | None:
        if scope["method"] != "POST":
            return message_reply(405, "The resource supports only POST.")
        with self._service.traffic.request(LOGIN, None):
            fault = self._service.faults.next(LOGIN, None)
            if fault is not None and not await self._connection_survives(fault, scope, receive):
                return None
            instead = reply_instead(fault) if fault is not None else None
            return instead or self._service.identity.log_in(body)

    async def _handle_call(
        self, endpoint: Endpoint, scope: Scope, receive: Receive, body: bytes
    ) -> Reply | None:
        """The reply to a call of an endpoint; None if a fault broke the connection."""
        call = _read_call(endpoint, dict(scope["headers"]), body)
        if call is None:
            return message_reply(415, "The request entity's media type is not supported.")
        service = self._service
        with service.traffic.request(endpoint.name, call.request):
            fault = service.faults.next(endpoint.name, call.client)
            if service.desk.quirks.latency_ms:
                await asyncio.sleep(service.desk.quirks.latency_ms / 1000)
            if fault is None:
                return service.reply(call, None)
            applied = service.reply(call, fault) if fault.applied else None
            if not await self._connection_survives(fault, scope, receive):
                return None
            return reply_instead(fault) or applied or service.reply(call, fault)

    async def _connection_survives(self, fault: FaultRule, scope: Scope, receive: Receive) -> bool:
        """Apply a fault of the connection; False if no client waits for the response afterwards."""
        if fault.kind == "timeout":
            return not await _gone_within(receive, fault.seconds)
        if fault.kind not in ON_CONNECTION:
            return True
        transport = self._transports.get(tuple(scope["client"] or ()))
        if transport is not None:
            if fault.kind == "reset":
                # Without lingering, closing the socket sends RST instead of FIN.
                peer = transport.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
            transport.abort()
        await _gone_within(receive, 1)
        return False


async def _gone_within(receive: Receive, seconds: float) -> bool:
    """Wait so many seconds; True if the client disconnects meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                continue
            return True
    return False


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


def _is_xml(header: bytes) -> bool | None:
    """Whether a header names XML before JSON; None if it names neither."""
    for media in header.lower().split(b","):
        kind = media.split(b";")[0].strip()
        if kind in (b"application/xml", b"text/xml"):
            return True
        if kind in (b"application/json", b"text/json"):
            return False
    return None


def _read_call(endpoint: Endpoint, headers: dict[bytes, bytes], body: bytes) -> Call | None:
    """Parse a call; None if its media type is neither JSON nor XML."""
    sent_xml = _is_xml(headers.get(b"content-type", b""))
    if sent_xml is None:
        return None
    wants_xml = _is_xml(headers.get(b"accept", b""))
    try:
        request = (read_xml if sent_xml else read_json)(endpoint, body)
    except UnreadableError:
        request = None
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    return Call(endpoint, request, authorization, sent_xml if wants_xml is None else wants_xml)


async def _send_reply(send: Send, reply: Reply) -> None:
    headers = [
        (b"content-type", reply.content_type.encode()),
        (b"content-length", str(len(reply.body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in reply.headers),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
