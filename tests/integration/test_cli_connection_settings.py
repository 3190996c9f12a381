"""The messages of `lcm` for invalid connection settings and untrusted certificates."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import run
from tests.unit.api_service import Service, running_in_thread

CERTIFICATES = Path(__file__).parent.parent / "unit" / "certificates"
DAYS = ("--from", "2026-03-01", "--to", "2026-03-08")
# Passed on so that a checkout other than the installed one can be tested.
CHECKOUT = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"http_proxy": "http://127.0.0.1:abc"}, "http_proxy: expected a proxy"),
        ({"ALL_PROXY": "socks5://h:1"}, "ALL_PROXY: only proxies of http"),
        ({"HTTP_PROXY": "http://h:1", "NO_PROXY": "10.0.0.0/99"}, "NO_PROXY: '10.0.0.0/99' is no"),
        ({"LCM_CA_FILE": "/nowhere/ca.pem"}, "LCM_CA_FILE: '/nowhere/ca.pem' cannot be read"),
        ({"LCM_CA_FILE": os.devnull}, "holds no certificate"),
        ({"LCM_MAX_ANSWER_MB": "0"}, "LCM_MAX_ANSWER_MB"),
    ],
)
def test_invalid_connection_settings_exit_with_2(
    tmp_path: Path, variables: dict[str, str], expected: str
) -> None:
    address = {"LCM_API_URL": "http://127.0.0.1:1/"}
    ended = run(tmp_path, "sync", *DAYS, **address, **variables, **CHECKOUT)
    assert ended.returncode == 2, ended.stderr
    assert expected in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture
def https_service() -> Iterator[str]:
    """The address of a service with an untrusted certificate."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATES / "localhost.with_key.pem")
    with running_in_thread(Service(), tls) as port:
        yield f"https://localhost:{port}/x/"


@pytest.mark.slow
def test_an_untrusted_certificate_is_reported_with_the_setting_to_use(
    tmp_path: Path, warehouse: Warehouse, https_service: str
) -> None:
    variables = {"LCM_API_URL": https_service, "LCM_DATABASE_URL": warehouse.url, **CHECKOUT}
    ended = run(tmp_path, "sync", *DAYS, **variables)
    assert ended.returncode == 1, ended.stderr
    assert "certificate is not trusted (self-signed certificate)" in ended.stderr
    assert "LCM_CA_FILE" in ended.stderr
    assert "Traceback" not in ended.stderr
