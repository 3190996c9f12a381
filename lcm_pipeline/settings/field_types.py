"""Types of settings that check more than their Python type does."""

import re
import ssl
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from lcm_pipeline.model.integers import LARGEST_INTEGER

SHORTEST_KEY = 16


def _share(value: Any) -> float:
    """Parse a share between 0 and 1, such as 0.05, 1/7 or 0."""
    try:
        share = float(Fraction(str(value).strip()))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError("expected a share such as 1/7 or 0.05") from None
    if not 0 <= share <= 1:
        raise ValueError("expected a share between 0 and 1")
    return share


def _url_with_host(value: str) -> str:
    value = value.strip()
    try:
        parts = urlsplit(value)
        host = parts.hostname
        _ = parts.port  # Raises ValueError for a port that is not a number.
        (host or "").encode("idna")  # Also for an empty label, or one of more than 63 characters.
    except ValueError:
        raise ValueError("expected an address such as https://host/prefix/") from None
    if re.search(r"[\s?#]", value):
        # The names of endpoints are appended to it.
        raise ValueError("expected an address such as https://host/prefix/, without blanks, ? or #")
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("expected an address such as https://host/prefix/, with a host")
    if parts.username or parts.password:
        raise ValueError("keep credentials out of the address: use LCM_USERNAME and LCM_PASSWORD")
    return value.rstrip("/") + "/"


def _postgres_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("expected postgresql://user:password@host:port/database")
    return value


def _broker_url(value: SecretStr) -> SecretStr:
    expected = "expected redis://host:port/number or amqp://user:password@host:port/vhost"
    text = value.get_secret_value().strip()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in ("redis", "rediss", "amqp", "amqps") or not host:
        raise ValueError(expected)
    number = parts.path.strip("/") if parts.scheme.startswith("redis") else ""
    if re.search(r"\s", text) or (number and not number.isdigit()):
        raise ValueError(expected)
    return SecretStr(text)


def _zone(value: str) -> str:
    expected = "expected a time zone name such as Europe/Moscow"
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(expected) from None
    # In the zone folder of a system, but unknown to Postgres: the marts would fail, at the end.
    if value in ("localtime", "posixrules") or value.startswith(("posix/", "right/")):
        raise ValueError(expected)
    return value


def _first_day(value: Any) -> Any:
    """Refuse what pydantic would take as seconds since 1970, such as 20260301."""
    if isinstance(value, str) and value.strip().lstrip("+-").replace(".", "", 1).isdecimal():
        # Not a ValueError, whose message would be shown as it is: explain.py says what is expected.
        raise PydanticCustomError("day_as_number", "expected a day")
    return value


def _expandable(value: Path) -> Path:
    if not str(value).strip():
        raise ValueError("expected a path, not only blanks")
    try:
        value.expanduser()
    except RuntimeError:
        raise ValueError("~ names no home folder here: expected an absolute path") from None
    return value


def _certificate_file(value: Path) -> Path:
    path = _expandable(value).expanduser().absolute()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise ValueError(f"'{path}' holds no certificate in PEM format") from None
    except OSError as error:
        raise ValueError(f"'{path}' cannot be read ({error.strerror})") from None
    return path


def _integer(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_INTEGER))
    if not is_number or int(text) > LARGEST_INTEGER:
        raise ValueError("expected a whole number, such as 12345")
    return value


def _long_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value().strip()) < SHORTEST_KEY:
        raise ValueError(
            f"expected {SHORTEST_KEY} characters or more, such as openssl rand -hex 32"
        )
    if "," in value.get_secret_value():
        raise ValueError("expected no comma, such as openssl rand -hex 32")
    return value


Token = Annotated[SecretStr, AfterValidator(_integer)]
PseudonymKey = Annotated[SecretStr, AfterValidator(_long_key)]
Share = Annotated[float, NoDecode, BeforeValidator(_share)]
ServiceUrl = Annotated[str, AfterValidator(_url_with_host)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
BrokerUrl = Annotated[SecretStr, AfterValidator(_broker_url)]
CertificateFile = Annotated[Path, AfterValidator(_certificate_file)]
ExpandablePath = Annotated[Path, AfterValidator(_expandable)]
FirstDay = Annotated[date | None, BeforeValidator(_first_day)]
ZoneName = Annotated[str, AfterValidator(_zone)]
