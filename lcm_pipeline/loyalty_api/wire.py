"""Bytes over HTTP: one POST, one whole answer, or a TransportError.

Here alone httpx and aiohttp are called. The surprising facts: the transport is used without
httpx's client around it, which costs nearly as much again as the request and adds nothing that
this service needs (no cookies, no redirects); and httpx-aiohttp reports a dropped connection as
ConnectTimeout, so only the cause below tells whether a request was sent.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from copy import copy
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from lcm_pipeline.loyalty_api.errors import TransportError

# A connection idle for longer may have been dropped by the server without our noticing.
KEEP_ALIVE_SECONDS = 15.0
CONNECT_SECONDS = 20.0

_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    httpx.ConnectError,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)


class Reply(NamedTuple):
    """One HTTP answer, read to its end; header names are lower case."""

    status: int
    content_type: str
    retry_after: str | None
    body: bytes

    def __repr__(self) -> str:
        """Name the answer without its body, which holds personal data and tokens."""
        return f"<Reply {self.status} {self.content_type} {len(self.body)} bytes>"


class Wire:
    """Sends requests below one base address, whose path prefix is kept."""

    def __init__(self, base_url: str, timeout: float, transport: httpx.AsyncBaseTransport) -> None:
        self._base_url = base_url.rstrip("/") + "/"
        self._transport = transport
        self._whole_answer_timeout = 2 * timeout
        connect = min(timeout, CONNECT_SECONDS)
        self._extensions = {"timeout": {"connect": connect, "read": timeout, "write": timeout}}
        self._requests: dict[str, tuple[httpx.Headers, httpx.Request]] = {}
        logging.getLogger("httpx").setLevel(logging.WARNING)

    async def post(self, path: str, headers: httpx.Headers, body: bytes, asked: str) -> Reply:
        """Post the body below the base address; `asked` names the call in an error."""
        request = self._request(path, headers, body)
        try:
            async with asyncio.timeout(self._whole_answer_timeout):
                response = await self._transport.handle_async_request(request)
                try:
                    head = _read_head(response)
                    content = await _read_body(response, head)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError) as error:
            never_sent = isinstance(error.__cause__ or error, _NEVER_SENT)
            raise TransportError(asked, _what_broke(error), never_sent=never_sent) from error
        return Reply(response.status_code, head.content_type, head.retry_after, content)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def _request(self, path: str, headers: httpx.Headers, body: bytes) -> httpx.Request:
        """The request of that path and those headers with another body.

        Only the first is built: httpx spends as long on building one as on sending it.
        """
        known = self._requests.get(path)
        if known is None or known[0] is not headers:
            # With a stream httpx adds no header: Host and Content-Length are aiohttp's to add.
            empty = httpx.ByteStream(b"")
            built = httpx.Request("POST", self._base_url + path, headers=headers, stream=empty)
            known = self._requests[path] = (headers, built)
        request = copy(known[1])
        request.extensions = self._extensions
        request.stream = httpx.ByteStream(body)
        request.read()
        return request


class _Head(NamedTuple):
    """The headers of an answer that are looked at."""

    content_type: str = ""
    retry_after: str | None = None
    is_encoded: bool = False


def _read_head(response: httpx.Response) -> _Head:
    """Read them in one pass, where each look-up of httpx makes several."""
    head = _Head()
    for name, value in response.headers.raw:
        lower = name.lower()
        if lower == b"content-type":
            head = head._replace(content_type=value.decode("latin-1"))
        elif lower == b"retry-after":
            head = head._replace(retry_after=value.decode("latin-1"))
        elif lower == b"content-encoding":
            head = head._replace(is_encoded=True)
    return head


async def _read_body(response: httpx.Response, head: _Head) -> bytes:
    """Read the body to its end; one that is not compressed needs none of httpx's layers."""
    stream = response.stream
    if head.is_encoded or not isinstance(stream, httpx.AsyncByteStream):
        return await response.aread()
    return b"".join([part async for part in stream])


def open_transport(
    base_url: str, connections: int, on_connected: Callable[[], None] | None = None
) -> httpx.AsyncBaseTransport:
    """Make the transport with a keep-alive pool of that size and the environment's proxy.

    on_connected: called in the requesting task each time that a new connection stands.
    """
    tls = _tls()

    def open_session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=connections, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=tls
        )
        # A shared session cookie would make ASP.NET answer our requests one after another.
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=None if on_connected is None else [_tracing(on_connected)],
        )

    return AiohttpTransport(verify=tls, proxy=_proxy_for(base_url), client=open_session)


@cache
def _tls() -> ssl.SSLContext:
    """The context of all connections of the process: each costs a reading of all certificates."""
    return httpx.create_ssl_context()


def _tracing(on_connected: Callable[[], None]) -> aiohttp.TraceConfig:
    tracing = aiohttp.TraceConfig()

    async def tell(session: aiohttp.ClientSession, context: object, parameters: object) -> None:
        on_connected()

    tracing.on_connection_create_end.append(tell)
    return tracing


def _proxy_for(base_url: str) -> httpx.Proxy | None:
    parts = urlsplit(base_url)
    address = getproxies().get(parts.scheme)
    if not address or proxy_bypass(parts.netloc):
        return None
    return httpx.Proxy(address if "://" in address else f"http://{address}")


def _what_broke(error: BaseException) -> str:
    """Say what broke without the library's own text, which may quote the request."""
    cause = error if isinstance(error, TimeoutError) else error.__cause__ or error
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return "no answer in time"
    if isinstance(cause, _NEVER_SENT):
        return "no connection"
    if isinstance(cause, aiohttp.ClientPayloadError | httpx.DecodingError):
        return "the answer was cut off"
    return f"the connection broke ({type(cause).__name__})"
