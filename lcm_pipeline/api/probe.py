"""Probes the service for `lcm doctor`: reachability, TLS and clock.

It sends no credentials and does not parse the response, so it works before a token is configured.
"""

import http.client
import socket
import ssl
import time
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lcm_pipeline.api.clocks import seconds_ahead
from lcm_pipeline.api.transport import NOT_HTTP, create_tls_context

_LONGEST_REASON = 200


class UnreachableError(Exception):
    """No HTTP response; the message says why, after the host.

    is_certificate: the certificate is not trusted.
    """

    def __init__(self, reason: str, *, is_certificate: bool = False) -> None:
        super().__init__(reason)
        self.is_certificate = is_certificate


@dataclass(frozen=True)
class ServiceProbe:
    """The result of a probe.

    seconds: how long it took. tls: the protocol, such as TLSv1.3; None for plain HTTP.
    certificate_ends: when the server's certificate expires, aware; None for plain HTTP.
    clock_ahead: seconds by which the server's clock is ahead of ours, accurate to about a second;
    None when the response has no Date header.
    """

    status: int
    seconds: float
    tls: str | None
    certificate_ends: datetime | None
    clock_ahead: float | None


def probe_service(
    url: str, *, proxy: str | None, ca_file: Path | None, timeout: float
) -> ServiceProbe:
    """Send one GET to the address, without following redirects; raises UnreachableError.

    timeout: seconds for each step. A response of any HTTP status is a success.
    """
    connection = _connection(url, proxy, ca_file, timeout)
    parts = urlsplit(url)
    is_through_http_proxy = proxy is not None and parts.scheme == "http"
    target = url if is_through_http_proxy else parts.path or "/"
    headers = _proxy_headers(proxy) if is_through_http_proxy else {}
    began = time.monotonic()
    try:
        connection.connect()
        # Before the response: http.client forgets the socket when the server closes the connection.
        tls, ends = _describe_tls(connection.sock)
        sent_at = time.time()
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        return ServiceProbe(
            response.status,
            time.monotonic() - began,
            tls,
            ends,
            seconds_ahead(response.getheader("Date"), sent_at, time.time()),
        )
    except ssl.SSLCertVerificationError as error:
        reason = f"cannot be reached: {error.verify_message}"
        raise UnreachableError(reason, is_certificate=True) from error
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise UnreachableError(f"cannot be reached: {reason[:_LONGEST_REASON]}") from error
    except http.client.HTTPException as error:
        # Its text is the line that came, of a mail server or of one that expects TLS.
        raise UnreachableError(f"cannot be used: {NOT_HTTP}") from error
    finally:
        connection.close()


def _connection(
    url: str, proxy: str | None, ca_file: Path | None, timeout: float
) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    address = urlsplit(proxy) if proxy else parts
    port = address.port or (443 if address.scheme == "https" else 80)
    host = address.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    secure = http.client.HTTPSConnection(
        host, port, timeout=timeout, context=create_tls_context(ca_file)
    )
    if proxy:
        secure.set_tunnel(parts.hostname or "", parts.port or 443, _proxy_headers(proxy))
    return secure


def _proxy_headers(proxy: str | None) -> dict[str, str]:
    parts = urlsplit(proxy or "")
    if not parts.username:
        return {}
    identity = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(identity.encode()).decode()}"}


def _describe_tls(connected: socket.socket | None) -> tuple[str | None, datetime | None]:
    if not isinstance(connected, ssl.SSLSocket):
        return None, None
    certificate = connected.getpeercert() or {}
    ends = certificate.get("notAfter")
    seconds = ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None
    return connected.version(), datetime.fromtimestamp(seconds, UTC) if seconds else None
