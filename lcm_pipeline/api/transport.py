"""HTTP: one POST, and one complete response within limits of time and size, or a TransportError.

All requests of the API are sent here; `client` and `auth` only build headers with httpx. It uses
the transport without httpx's client, which costs nearly as much as the request itself and adds
nothing that this service needs (no cookies, no redirects). httpx-aiohttp reports a dropped
connection as ConnectTimeout, so whether a request was sent is derived from the exception's cause.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from copy import copy
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from httpx_aiohttp import AiohttpTransport

from lcm_pipeline.api.clocks import seconds_ahead
from lcm_pipeline.api.compression import CompressionError, SizeError, decompress
from lcm_pipeline.api.errors import (
    CertificateError,
    TooLargeError,
    TransportError,
)
from lcm_pipeline.api.scrubbing import scrub

if TYPE_CHECKING:
    from aiohttp.connector import Connection

# Seconds. A connection that is idle for longer may have been dropped by the server unnoticed.
KEEP_ALIVE_SECONDS = 15.0
CONNECT_SECONDS = 20.0
MEGABYTE = 2**20

# Proxies and sessions add long headers: aiohttp's default of 8 KB is too small for some.
_LONGEST_HEADER = 256 * 1024
_MAX_HEADERS = 1_000

# The body of an error response is not used, but a short one is read, so that the connection can be
# reused.
_DRAINED_BYTES = 64 * 1024
_DRAINED_SECONDS = 2.0
_LONGEST_LOCATION = 200

NOT_HTTP = "the response is not HTTP: is the port of LCM_API_URL right, and does it serve https?"

# Keys are OpenSSL's X509_V_ERR_…: not yet valid, expired, host name mismatch, IP address mismatch.
_CLOCK_ADVICE = "the server's certificate has to be renewed, or this machine's clock is wrong"
_HOST_ADVICE = "check the host in LCM_API_URL: the certificate is for another one"
_CERTIFICATE_ADVICE = {9: _CLOCK_ADVICE, 10: _CLOCK_ADVICE, 62: _HOST_ADVICE, 64: _HOST_ADVICE}

_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    httpx.ConnectError,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)
# Also the base of those above that are time-outs.
_TIMED_OUT = (TimeoutError, httpx.TimeoutException)


class HttpResponse(NamedTuple):
    """One complete HTTP response.

    body: without its content codings; empty unless the status is 2xx.
    retry_after: the header as sent. location: the target of a redirect, scrubbed for messages.
    """

    status: int
    content_type: str
    retry_after: str | None
    body: bytes
    location: str | None = None

    def __repr__(self) -> str:
        """Without the body, which contains personal data and tokens."""
        return f"<HttpResponse {self.status} {self.content_type} {len(self.body)} bytes>"


class Transport:
    """Sends requests to paths below one base address, which may have a path prefix.

    timeout: seconds for a complete response, starting with the request. largest: maximum size of
    the body in bytes, both compressed and decompressed.
    clock_ahead: seconds by which the service's clock is ahead of ours, by its last response; 0.0
    before the first, and while no response has a Date.
    """

    def __init__(
        self, base_url: str, timeout: float, transport: httpx.AsyncBaseTransport, largest: int
    ) -> None:
        self._base_url = base_url.rstrip("/") + "/"
        self._transport = transport
        self._timeout = timeout
        self._largest = largest
        self.clock_ahead = 0.0
        connect = min(timeout, CONNECT_SECONDS)
        self._extensions = {"timeout": {"connect": connect, "read": timeout, "write": timeout}}
        self._requests: dict[str, tuple[httpx.Headers, httpx.Request]] = {}
        logging.getLogger("httpx").setLevel(logging.WARNING)

    async def post(self, path: str, headers: httpx.Headers, body: bytes) -> HttpResponse:
        """Post the body to a path below the base address; returns a response of any status.

        Raises TransportError or TooLargeError.
        """
        request = self._build_request(path, headers, body)
        sent_at = time.time()
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._transport.handle_async_request(request)
                try:
                    received = _read_headers(response)
                    ahead = seconds_ahead(received.date, sent_at, time.time())
                    self.clock_ahead = ahead or 0.0
                    if 200 <= response.status_code < 300:
                        content = await self._read_body(response, received)
                    else:
                        content = b""
                        await _drain(response)
                finally:
                    await response.aclose()
            content = decompress(content, received.content_encoding, self._largest)
        except SizeError:
            megabytes = self._largest / MEGABYTE
            reason = f"the response is larger than {megabytes:g} MB (LCM_MAX_ANSWER_MB)"
            raise TooLargeError(reason) from None
        except CompressionError as error:
            raise TransportError(str(error)) from error
        except (httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._transport_error(error) from error
        location = self._redirect_target(received) if 300 <= response.status_code < 400 else None
        return HttpResponse(
            response.status_code, received.content_type, received.retry_after, content, location
        )

    async def _read_body(self, response: httpx.Response, received: "_Headers") -> bytes:
        """Read the body to its end; raises SizeError as soon as it is too large."""
        if received.content_length > self._largest:
            raise SizeError
        parts: list[bytes] = []
        size = 0
        async for part in _stream(response):
            size += len(part)
            if size > self._largest:
                raise SizeError
            parts.append(part)
        return b"".join(parts)

    def _redirect_target(self, received: "_Headers") -> str | None:
        """Return a redirect's target without credentials, query and personal data."""
        if received.location is None:
            return None
        try:
            parts = urlsplit(urljoin(self._base_url, received.location.strip()))
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return "an address that cannot be read"
        segments = [scrub(segment.partition(";")[0]) for segment in parts.path.split("/")]
        path = quote("/".join(segments), safe="/%:@[]-_.~")
        try:
            address = ip_address(host)
            host = f"[{address}]" if address.version == 6 else str(address)
        except ValueError:
            # Label by label: together, those of a long name with a digit look like a token.
            host = ".".join(map(scrub, host.split(".")))
        netloc = host if port is None else f"{host}:{port}"
        return f"{scrub(parts.scheme)}://{netloc}{path}"[:_LONGEST_LOCATION]

    def _transport_error(self, error: Exception) -> TransportError:
        cause = error if isinstance(error, TimeoutError) else error.__cause__ or error
        if isinstance(cause, aiohttp.ClientConnectorCertificateError):
            certificate_error = cause.certificate_error
            why = scrub(str(getattr(certificate_error, "verify_message", ""))) or "no reason given"
            code = getattr(certificate_error, "verify_code", 0)
            return CertificateError(
                f"the server's certificate is not trusted ({why})",
                _CERTIFICATE_ADVICE.get(code, CertificateError.advice),
            )
        never_sent = isinstance(cause, _NEVER_SENT)
        timed_out = isinstance(cause, _TIMED_OUT) and not never_sent
        reason = self._describe_failure(cause)
        return TransportError(reason, never_sent=never_sent, timed_out=timed_out)

    def _describe_failure(self, cause: BaseException) -> str:
        """Describe the failure without the library's own message, which may quote the request."""
        match cause:
            case aiohttp.ClientConnectorDNSError():
                return f"the host name {self._server()} (LCM_API_URL) is not known"
            case aiohttp.ClientProxyConnectionError():
                return "no connection to the proxy that the environment names"
            case aiohttp.ClientHttpProxyError():
                return f"the proxy refused to connect (HTTP {cause.status})"
            case aiohttp.ClientConnectorSSLError():
                return f"no TLS connection to {self._server()}: does LCM_API_URL serve https?"
            case aiohttp.ConnectionTimeoutError() | httpx.PoolTimeout():
                seconds = self._extensions["timeout"]["connect"]
                return f"no connection to {self._server()} (LCM_API_URL) within {seconds:g} s"
            case _ if isinstance(cause, _TIMED_OUT):
                return f"no complete response within {self._timeout:g} s (LCM_TIMEOUT)"
            case _ if isinstance(cause, _NEVER_SENT):
                return f"no connection to {self._server()} (LCM_API_URL)"
            # The cause has the details: the outer error is only a "bad message".
            case HttpProcessingError() if isinstance(cause.__cause__ or cause, LineTooLong):
                return f"a header of the response is longer than {_LONGEST_HEADER // 1024} KB"
            case HttpProcessingError() | aiohttp.ClientResponseError():
                return NOT_HTTP
            case aiohttp.ClientPayloadError() | httpx.DecodingError():
                return "the response was cut off"
            case _:
                return f"the connection broke ({type(cause).__name__})"

    def _server(self) -> str:
        """The host of the base address, with its port where one is given."""
        return urlsplit(self._base_url).netloc

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def _build_request(self, path: str, headers: httpx.Headers, body: bytes) -> httpx.Request:
        """Return a request, copied from the last one for the path and headers when there is one.

        Building a request takes httpx as long as sending it.
        """
        known = self._requests.get(path)
        if known is None or known[0] is not headers:
            # Given a stream, httpx adds no headers: aiohttp adds Host and Content-Length.
            empty = httpx.ByteStream(b"")
            built = httpx.Request("POST", self._base_url + path, headers=headers, stream=empty)
            known = self._requests[path] = (headers, built)
        request = copy(known[1])
        request.extensions = self._extensions
        request.stream = httpx.ByteStream(body)
        request.read()
        return request


class _Headers(NamedTuple):
    """The headers of a response that are used."""

    content_type: str = ""
    content_encoding: str = ""
    content_length: int = 0
    retry_after: str | None = None
    location: str | None = None
    date: str | None = None


def _read_headers(response: httpx.Response) -> _Headers:
    """Read the headers in one pass: each look-up in httpx.Headers makes a pass of its own."""
    found: dict[bytes, str] = {}
    for name, value in response.headers.raw:
        lower = name.lower()
        if lower not in _USED_HEADERS:
            continue
        text = value.decode("utf-8", "replace")
        # Content-Encoding may be repeated, with one coding in each.
        is_further = lower == b"content-encoding" and lower in found
        found[lower] = f"{found[lower]},{text}" if is_further else text
    length = found.get(b"content-length", "")
    return _Headers(
        found.get(b"content-type", ""),
        found.get(b"content-encoding", ""),
        int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0,
        found.get(b"retry-after"),
        found.get(b"location"),
        found.get(b"date"),
    )


_USED_HEADERS = frozenset(
    (
        b"content-type",
        b"content-encoding",
        b"content-length",
        b"retry-after",
        b"location",
        b"date",
    )
)


async def _drain(response: httpx.Response) -> None:
    """Read and discard a short body, ignoring errors: only the status matters."""
    size = 0
    with suppress(httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(_DRAINED_SECONDS):
            async for part in _stream(response):
                size += len(part)
                if size > _DRAINED_BYTES:
                    return


def _stream(response: httpx.Response) -> AsyncIterable[bytes]:
    """Return the body as sent: httpx's own methods would decompress it without a limit."""
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("the transport must stream")
    return stream


class _Response(aiohttp.ClientResponse):
    """A response whose reason phrase can be encoded as UTF-8, as httpx-aiohttp requires."""

    async def start(self, connection: "Connection") -> aiohttp.ClientResponse:
        started = await super().start(connection)
        self.reason = (self.reason or "").encode("utf-8", "replace").decode()
        return started


def open_transport(
    connections: int,
    on_connected: Callable[[], None] | None = None,
    *,
    proxy: str | None = None,
    ca_file: Path | None = None,
) -> httpx.AsyncBaseTransport:
    """Create a transport with a keep-alive pool of `connections`.

    on_connected: called in the requesting task for each new connection.
    proxy: URL of the proxy. ca_file: a PEM bundle to trust in addition to the system's.
    """
    tls = create_tls_context(ca_file)
    trace_configs: list[aiohttp.TraceConfig] = []
    if on_connected is not None:

        async def on_end(session: aiohttp.ClientSession, context: object, params: object) -> None:
            on_connected()

        trace_configs = [aiohttp.TraceConfig()]
        trace_configs[0].on_connection_create_end.append(on_end)

    def open_session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=connections, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=tls
        )
        # No cookies: ASP.NET serves requests that share a session cookie one after another.
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=_Response,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
            max_headers=_MAX_HEADERS,
            trace_configs=trace_configs,
        )

    through = None if proxy is None else httpx.Proxy(proxy)
    return AiohttpTransport(verify=tls, proxy=through, client=open_session)


@cache
def create_tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return the TLS context, one per process: creating it parses all trusted certificates."""
    context = httpx.create_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
