"""Which proxy the environment selects, and the errors for an invalid one."""

import asyncio
from typing import Any

import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import TransportError
from lcm_pipeline.model.endpoints import OPERATION_HISTORY
from lcm_pipeline.model.payloads import OperationHistoryRequest
from lcm_pipeline.proxies import ProxyError, find_proxy
from lcm_pipeline.settings import Settings, SettingsError, load_settings
from tests.unit.api_service import FakeTime, Service, running

REQUEST = OperationHistoryRequest(Client=7, Start=1, Length=500)
PROXY = "http://proxy.example:3128"
HOSTS = {
    "name": "http://api.shop.example/x/",
    "v4": "http://10.1.2.3:8080/",
    "v6": "https://[fd00::5]/",
}
VARIABLES = tuple(
    spelling
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for spelling in (name, name.upper())
)


@pytest.fixture(autouse=True)
def _clear_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({"HTTP_PROXY": PROXY}, HOSTS["name"], PROXY),
        ({"HTTP_PROXY": PROXY}, HOSTS["v6"], None),
        ({"https_proxy": PROXY}, HOSTS["v6"], PROXY),
        ({"ALL_PROXY": PROXY}, HOSTS["name"], PROXY),
        ({"all_proxy": PROXY}, HOSTS["v6"], PROXY),
        ({"ALL_PROXY": "http://other:1", "http_proxy": PROXY}, HOSTS["name"], PROXY),
        ({"HTTP_PROXY": "http://other:1", "http_proxy": PROXY}, HOSTS["name"], PROXY),
        ({"http_proxy": " ", "ALL_PROXY": PROXY}, HOSTS["name"], PROXY),
        ({"http_proxy": "proxy.example:3128"}, HOSTS["name"], PROXY),
        ({"http_proxy": f"  {PROXY} "}, HOSTS["name"], PROXY),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, HOSTS["name"], None),
        ({"http_proxy": "http://u:p%40ss@h:1"}, HOSTS["name"], "http://u:p%40ss@h:1"),
    ],
)
def test_the_variables_select_the_proxy(
    environment: dict[str, str], url: str, proxy: str | None
) -> None:
    assert find_proxy(url, environment) == proxy


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    ("host", "exceptions", "is_direct"),
    [
        ("name", "*", True),
        ("name", "api.shop.example", True),
        ("name", "API.Shop.Example", True),
        ("name", "shop.example", True),
        ("name", ".shop.example", True),
        ("name", "*.shop.example", True),
        ("name", "localhost, .shop.example , 10.0.0.0/8", True),
        ("name", "localhost example", True),
        ("name", "api.shop.example:80", True),
        ("name", "api.shop.example:8080", False),
        ("name", "http://api.shop.example/", True),
        ("name", "hop.example", False),
        ("name", "10.0.0.0/8", False),
        ("name", "127.0.0.1,localhost", False),
        ("v4", "10.0.0.0/8", True),
        ("v4", "10.1.2.0/24,x", True),
        ("v4", "10.1.2.3", True),
        ("v4", "10.1.2.3/32", True),
        ("v4", "10.1.2.3:8080", True),
        ("v4", "10.1.2.3:80", False),
        ("v4", "10.1.3.0/24", False),
        ("v4", "fd00::/8", False),
        ("v4", "2.3", False),
        ("v4", "0.0.0.0/0", True),
        ("v4", "", False),
    ],
)
def test_no_proxy_exempts_hosts_domains_and_networks(
    variable: str, host: str, exceptions: str, is_direct: bool
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        environment = {variable: PROXY, name: exceptions}
        assert find_proxy(HOSTS[host], environment) == (None if is_direct else PROXY)


@pytest.mark.parametrize(
    "exceptions", ["fd00::/8", "[fd00::]/8", "fd00::5", "[fd00::5]:443", "[FD00::5]"]
)
def test_no_proxy_exempts_ipv6_networks_and_addresses(exceptions: str) -> None:
    assert find_proxy(HOSTS["v6"], {"https_proxy": PROXY, "no_proxy": exceptions}) is None
    other = "https://[fe00::1]/"
    assert find_proxy(other, {"https_proxy": PROXY, "no_proxy": exceptions}) == PROXY


@pytest.mark.parametrize(
    "value",
    ["http://127.0.0.1:abc", "http://", "http://:3128", "http://h:99999", "http://h:0", "http://[::1",
     "socks5://secret@h:1", "ftp://h:1", "http://ho st:1", "http://h\x00:1", "://h"],
)  # fmt: skip
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_the_error_for_an_invalid_proxy_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    with pytest.raises(ProxyError, match=f"^{variable}: ") as caught:
        find_proxy(HOSTS["name"], {variable: value})
    assert "secret" not in str(caught.value)
    if "\x00" in value:
        return
    monkeypatch.setenv(variable, value)
    load_settings()  # without LCM_API_URL the proxy is not used
    monkeypatch.setenv("LCM_ALLOW_HTTP", "1")
    monkeypatch.setenv("LCM_API_URL", HOSTS["name"])
    with pytest.raises(SettingsError, match=variable):
        load_settings()
    monkeypatch.setenv("NO_PROXY", "shop.example")
    load_settings()


@pytest.mark.parametrize(
    "exceptions", ["10.0.0.0/99", "10.0.0/x", "example.com/path", "fd00::/300"]
)
def test_the_error_for_an_invalid_network_names_its_variable(exceptions: str) -> None:
    with pytest.raises(ProxyError, match="NO_PROXY"):
        find_proxy(HOSTS["v4"], {"http_proxy": PROXY, "NO_PROXY": exceptions})


def send(url: str) -> Any:
    async def main() -> Any:
        given = Settings(_env_file=None, api_url=url, timeout=5.0)
        async with LoyaltyApi.from_settings(given, clock=FakeTime().clock) as api:
            return await api.call(OPERATION_HISTORY, REQUEST)

    return main()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_requests_go_through_the_proxy(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    async def main() -> Service:
        async with running(Service()) as proxy:
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
            assert (await send("http://service.invalid/x/")).Rows == 0
            return proxy

    (request,) = asyncio.run(main()).requests
    assert request.path == "http://service.invalid/x/api/client/OperationHistory"


def test_a_network_of_no_proxy_is_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Service:
        async with running(Service()) as service:
            monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
            monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,127.0.0.0/8")
            await send(f"http://127.0.0.1:{service.port}/x/")
            return service

    assert len(asyncio.run(main()).requests) == 1


def test_a_proxy_that_is_unreachable_or_refuses_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with pytest.raises(TransportError, match="no connection to the proxy") as caught:
        asyncio.run(send("http://service.invalid/x/"))
    assert caught.value.never_sent

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async def main() -> None:
        proxy = Service()
        proxy.serve = refuse  # type: ignore[method-assign]
        async with running(proxy):
            monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
            await send("https://service.invalid/x/")

    with pytest.raises(TransportError, match="the proxy refused to connect") as caught:
        asyncio.run(main())
    assert "HTTP 407" in str(caught.value)
    assert caught.value.never_sent
