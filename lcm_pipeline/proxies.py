"""Which proxy the usual environment variables name for an address.

HTTP_PROXY or HTTPS_PROXY by the address's scheme, else ALL_PROXY; none where NO_PROXY names the
host, a domain above it, its address or a network that it is in. Small letters win over capitals.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

DEFAULT_PORTS = {"http": 80, "https": 443}
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:]*):(\d+)")
_LONGEST_SHOWN = 60


class ProxyError(ValueError):
    """A variable of a proxy makes no sense; the message names it, for the user."""


def find_proxy(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the address of the proxy for a URL, None to go there directly; raises ProxyError.

    Where the environment names none at all, the system's settings count (macOS, Windows).
    """
    parts = urlsplit(url)
    variable = _first_set(environment, f"{parts.scheme}_proxy", "all_proxy")
    if variable is None:
        address = getproxies().get(parts.scheme)
        if not address or proxy_bypass(parts.netloc):
            return None
        return _checked(address, "the system's proxy")
    exceptions = _first_set(environment, "no_proxy")
    if exceptions is not None:
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        for entry in environment[exceptions].replace(",", " ").split():
            if _names(entry, parts.hostname or "", port, exceptions):
                return None
    return _checked(environment[variable], variable)


def _first_set(environment: Mapping[str, str], *names: str) -> str | None:
    for name in names:
        for spelling in (name, name.upper()):
            # In a CGI program HTTP_PROXY is the header `Proxy` of the HTTP client that calls it.
            is_header = spelling == "HTTP_PROXY" and "REQUEST_METHOD" in environment
            if environment.get(spelling, "").strip() and not is_header:
                return spelling
    return None


def _checked(value: str, variable: str) -> str:
    """Return a proxy's address; the message leaves it out, as it may hold a password."""
    address = value.strip()
    address = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(address)
        is_sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound or not address.isprintable() or " " in address:
        raise ProxyError(f"{variable}: expected a proxy such as http://host:3128")
    if parts.scheme.lower() not in DEFAULT_PORTS:
        raise ProxyError(f"{variable}: only proxies of http:// and https:// can be used")
    return address


def _names(entry: str, host: str, port: int, variable: str) -> bool:
    """Whether an entry of NO_PROXY names the host."""
    wanted = entry.rpartition("://")[2].rstrip("/").lower()
    address = _address(host)
    if "/" in wanted:
        try:
            network = ip_network(wanted.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            shown = ascii(wanted[:_LONGEST_SHOWN])
            raise ProxyError(f"{variable}: {shown} is not a network such as 10.0.0.0/8") from None
        return address is not None and address in network
    with_port = _WITH_PORT.fullmatch(wanted)
    if with_port is not None:
        if int(with_port[2]) != port:
            return False
        wanted = with_port[1]
    if wanted == "*":
        return True
    if address is not None:
        return address == _address(wanted.strip("[]"))
    domain = wanted.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
