"""TLS: which certificates are trusted, and the errors for those that are not.

The certificates were made for these tests: for localhost, for another host, and an expired one.
"""

import asyncio
import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import CertificateError, LoyaltyApiError, TransportError
from lcm_pipeline.api.probe import probe_service
from lcm_pipeline.model.endpoints import CLIENT_UPDATE, OPERATION_HISTORY
from lcm_pipeline.model.payloads import OperationHistoryRequest, SetClientUpdateRequest
from lcm_pipeline.settings import Settings, SettingsError, load_settings
from tests.unit.api_service import FakeTime, Response, Service, running, running_in_thread

CERTIFICATES = Path(__file__).parent / "certificates"
LOCALHOST = CERTIFICATES / "localhost.pem"
REQUEST = OperationHistoryRequest(Client=7, Start=1, Length=500)


def send(certificate: str | None, host: str = "localhost", **settings: Any) -> tuple[Any, Service]:
    """Send a request over HTTPS to a service with that certificate, or without TLS."""

    async def main() -> tuple[Any, Service]:
        tls = None
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(CERTIFICATES / f"{certificate}.with_key.pem")
        service = Service()
        if tls is None:
            service.serve = _serve_without_tls  # type: ignore[method-assign]
        async with running(service, tls):
            url = f"https://{host}:{service.port}/x/"
            given = Settings(_env_file=None, api_url=url, timeout=5.0, **settings)
            async with LoyaltyApi.from_settings(given, clock=FakeTime().clock) as api:
                try:
                    return await api.call(OPERATION_HISTORY, REQUEST), service
                except LoyaltyApiError as error:
                    with pytest.raises(type(error)) as caught:
                        update = SetClientUpdateRequest(Client=7, Name="x")
                        await api.call(CLIENT_UPDATE, update)
                    assert caught.value.attempts == error.attempts
                    return error, service

    return asyncio.run(main())


async def _serve_without_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


def test_a_certificate_from_the_setting_is_trusted() -> None:
    for host in ("localhost", "127.0.0.1"):
        response, service = send("localhost", host, ca_file=LOCALHOST)
        assert response.Rows == 0
        assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("certificate", "ca_file", "why", "advice"),
    [
        ("localhost", None, "self-signed certificate", "LCM_CA_FILE"),
        ("localhost", "other_host", "self-signed certificate", "LCM_CA_FILE"),
        ("expired", "expired", "expired", "has to be renewed"),
        ("other_host", "other_host", "Hostname mismatch", "check the host in LCM_API_URL"),
    ],
)
def test_the_error_for_an_untrusted_certificate_says_what_to_do(
    certificate: str, ca_file: str | None, why: str, advice: str
) -> None:
    file = CERTIFICATES / f"{ca_file}.pem" if ca_file else None
    error, service = send(certificate, ca_file=file)
    assert isinstance(error, CertificateError)
    assert "the server's certificate is not trusted" in str(error)
    assert why in str(error)
    assert advice in str(error)
    assert error.never_sent
    assert error.attempts == 1
    assert service.requests == []


def test_a_server_without_tls_is_reported() -> None:
    error, _ = send(None)
    assert isinstance(error, TransportError)
    assert re.search(r"no TLS connection to localhost:\d+: does LCM_API_URL serve", str(error))


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_probe_reports_tls_even_if_the_server_closes_the_connection(connection: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATES / "localhost.with_key.pem")
    service = Service(Response(status=405, headers={"Connection": connection}))
    with running_in_thread(service, tls) as port:
        probe = probe_service(
            f"https://localhost:{port}/x/", proxy=None, ca_file=LOCALHOST, timeout=5.0
        )
    assert probe.tls == "TLSv1.3"
    assert probe.certificate_ends is not None


def test_a_file_without_certificates_is_refused_at_startup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "odd.pem"
    odd.write_bytes(b"\xff no certificate")
    for path, why in (
        (tmp_path / "none.pem", "cannot be read"),
        (tmp_path, "cannot be read"),
        (odd, "no certificate in PEM format"),
    ):
        monkeypatch.setenv("LCM_CA_FILE", str(path))
        with pytest.raises(SettingsError, match=f"LCM_CA_FILE: .*{why}"):
            load_settings()
    monkeypatch.setenv("LCM_CA_FILE", str(LOCALHOST))
    assert load_settings().ca_file == LOCALHOST
    monkeypatch.setenv("LCM_CA_FILE", "")
    assert load_settings().ca_file is None
