"""Bytes over HTTP: one POST, one whole answer, or a TransportError.

Here alone httpx and aiohttp are called. The surprising facts: the transport is used without
httpx's client around it, which costs nearly as much again as the request and adds nothing that
this service needs (no cookies, no redirects); and httpx-aiohttp reports a dropped connection as
ConnectTimeout, so only the cause below tells whether a request was sent.
"""

import asyncio
import logging
from collections.abc import Callable
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
        self._urls: dict[str, httpx.URL] = {}
        logging.getLogger("httpx").setLevel(logging.WARNING)

    async def post(self, path: str, headers: httpx.Headers, body: bytes, asked: str) -> Reply:
        """Post the body below the base address; `asked` names the call in an error."""
        request = httpx.Request(
            "POST", self._url(path), headers=headers, content=body, extensions=self._extensions
        )
        try:
            async with asyncio.timeout(self._whole_answer_timeout):
                response = await self._transport.handle_async_request(request)
                try:
                    content = await response.aread()
                finally:
                    await response.aclose()
        except (httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError) as error:
            never_sent = isinstance(error.__cause__ or error, _NEVER_SENT)
            raise TransportError(asked, _what_broke(error), never_sent=never_sent) from error
        given = response.headers
        return Reply(
            response.status_code, given.get("content-type", ""), given.get("retry-after"), content
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def _url(self, path: str) -> httpx.URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(self._base_url + path)
        return url


def open_transport(
    base_url: str, connections: int, on_connected: Callable[[], None] | None = None
) -> httpx.AsyncBaseTransport:
    """Make the transport with a keep-alive pool of that size and the environment's proxy.

    on_connected: called in the requesting task each time that a new connection stands.
    """
    tls = httpx.create_ssl_context()

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
