"""The LCM_* variables: their defaults, checks, and which of them are secret.

Only this module reads the environment and the `.env` file in the working directory. A new setting
is a Field of Settings and a line in .env.example.
"""

import codecs
import os
import re
import ssl
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from fractions import Fraction
from functools import cached_property
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dotenv.parser import parse_stream
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.texts import shown
from lcm_pipeline.proxies import ProxyError, find_proxy

DEFAULT_TIMEZONE = "Europe/Moscow"
MOST_READERS = 64
# Before the service existed. Each day from here on is a partition in Dagster's UI.
_FIRST_DAY_WITHOUT_START = date(2015, 1, 1)
# Every day from LCM_START_DATE on is polled, and Dagster fails with the first years of all.
_EARLIEST_START = date(1990, 1, 1)
_PREFIX = "LCM_"
_ENV_FILE = Path(".env")
_SHORTEST_KEY = 16
_LONGEST_GIVEN = 80
# Of 64 bits, as in the service and in Postgres.
_LARGEST_INTEGER = 2**63 - 1
# In .env, ${NAME} is the value of a variable, also within quotes, and empty if that is not set:
# then what follows :- is used.
_REFERENCE = re.compile(r"\$\{([^}:]+)\}")
LITERAL_DOLLAR = "${:-$}"
# For messages about settings that have no default.
_EXAMPLES = {"operator": 7, "max_rps": 5, "max_in_flight": 64, "start_date": "2026-03-01"}
# Secrets that a file may hold instead, as container platforms and systemd hand them over.
_IN_FILES = (
    "token",
    "site_code",
    "password",
    "database_url",
    "bi_database_url",
    "dagster_database_url",
    "celery_broker",
    "alert_urls",
    "pseudonym_key",
    "pseudonym_old_keys",
)


class SettingsError(UsageError):
    """A setting is missing, malformed or unknown; the message names it and what is expected."""


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
    try:
        parts = urlsplit(value.get_secret_value().strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in ("redis", "rediss", "amqp", "amqps") or not host:
        raise ValueError(expected)
    number = parts.path.strip("/") if parts.scheme.startswith("redis") else ""
    has_blanks = re.search(r"\s", value.get_secret_value().strip()) is not None
    if has_blanks or (number and not number.isdigit()):
        raise ValueError(expected)
    return SecretStr(value.get_secret_value().strip())


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
        raise ValueError(f"expected {_expected('start_date')}")
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
        raise ValueError(f"{path} holds no certificate in PEM format") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    return path


def _long_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value().strip()) < _SHORTEST_KEY:
        raise ValueError(
            f"expected {_SHORTEST_KEY} characters or more, such as openssl rand -hex 32"
        )
    if "," in value.get_secret_value():
        raise ValueError("expected no comma, such as openssl rand -hex 32")
    return value


PseudonymKey = Annotated[SecretStr, AfterValidator(_long_key)]
Share = Annotated[float, NoDecode, BeforeValidator(_share)]
ServiceUrl = Annotated[str, AfterValidator(_url_with_host)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
BrokerUrl = Annotated[SecretStr, AfterValidator(_broker_url)]
CertificateFile = Annotated[Path, AfterValidator(_certificate_file)]
ExpandablePath = Annotated[Path, AfterValidator(_expandable)]
ZoneName = Annotated[str, AfterValidator(_zone)]


class Settings(BaseSettings):
    """The settings of one process. Shares are fractions of 1, times are seconds, dates ISO 8601."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=_ENV_FILE,
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    api_url: ServiceUrl | None = Field(
        None, description="Base address of the service, with the tenant's path prefix"
    )
    operator: int | None = Field(
        None, le=_LARGEST_INTEGER, description="Operator id sent in every body"
    )
    token: SecretStr | None = Field(None, description="Integer Token sent in every body")
    site_code: SecretStr | None = Field(None, description="SiteCode of a widget, in every body")
    username: str | None = Field(None, description="User of ManagerLogin, for the bearer token")
    password: SecretStr | None = Field(None, description="Password of ManagerLogin")
    api_format: Literal["json", "xml"] = Field("json", description="Format on the wire")
    page_length: int = Field(500, ge=1, le=10_000, description="Rows requested per page")
    concurrency: int = Field(
        16, ge=1, le=512, description="Readings in flight at once, of each reader"
    )
    readers: int = Field(1, ge=1, le=MOST_READERS, description="Reading steps of a run")
    executor: Literal["in_process", "multiprocess", "celery", "k8s"] = Field(
        "in_process", description="What runs the steps of a sync"
    )
    celery_broker: BrokerUrl | None = Field(
        None, description="Broker of Celery, redis:// or amqp://; for LCM_EXECUTOR=celery"
    )
    max_rps: float | None = Field(
        None, ge=0.01, le=100_000, description="Requests per second at most; none"
    )
    max_in_flight: int | None = Field(
        None, ge=1, le=10_000, description="Requests in flight at most, of all processes; none"
    )
    timeout: float = Field(
        90.0, gt=0, le=3600, description="Seconds to wait for one whole response"
    )
    max_answer_mb: int = Field(
        64, ge=1, le=4096, description="Megabytes that one response may have, decompressed"
    )
    allow_http: bool = Field(
        False, description="Allow unencrypted http to a service on another machine"
    )
    ca_file: CertificateFile | None = Field(
        None, description="PEM file of certificates to trust in addition to the usual ones"
    )
    database_url: PostgresUrl | None = Field(
        None, description="Warehouse; without it an embedded Postgres runs from LCM_HOME"
    )
    bi_database_url: PostgresUrl | None = Field(
        None, description="Warehouse as a member of lcm_bi, for dashboards; made when not set"
    )
    dagster_database_url: PostgresUrl | None = Field(
        None, description="Dagster's own storage in Postgres; without it SQLite in LCM_HOME"
    )
    home: ExpandablePath = Field(
        Path(".lcm"), description="Folder of the embedded Postgres and of Dagster"
    )
    timezone: ZoneName = Field(DEFAULT_TIMEZONE, description="Time zone of the business day")
    language: Language = Field(
        DEFAULT_LANGUAGE, description="Language of the dashboards and the report: ru or en"
    )
    start_date: Annotated[date | None, BeforeValidator(_first_day)] = Field(
        None,
        ge=_EARLIEST_START,
        description="First registration day; without it the first day that was ever polled",
    )
    lookback_days: int = Field(
        30, ge=0, le=3650, description="Registration days polled again in each run"
    )
    audit_share: Share = Field(
        1 / 7, description="Share of the roster re-read in full each day, such as 1/7"
    )
    max_staleness_days: int = Field(
        0, ge=0, le=365, description="Poll quiet clients less often, within so many days; 0 is off"
    )
    retention_months: int | None = Field(
        None, ge=1, le=1200, description="Whole months of facts and history to hold; none is all"
    )
    delete_fuse: Share = Field(
        0.05, description="Stop a publish that would delete more than this share"
    )
    growth_fuse: float = Field(
        2.0,
        ge=0,
        allow_inf_nan=False,
        description="Stop a publish if a day brings more than this many times the known clients",
    )
    publish_batch_rows: int = Field(
        1_000_000, ge=1, le=1_000_000_000, description="Rows per batch of a published first load"
    )
    push_canary: int = Field(
        20, ge=0, le=10_000, description="Profile updates sent first, before the rest of a push"
    )
    push_fuse: Share = Field(
        0.2, description="Stop a push when more than this share of the first updates fails"
    )

    alert_urls: SecretStr | None = Field(
        None, description="Where alerts go, as apprise writes it (mailto:, slack:, tgram:, json: …)"
    )

    pseudonym_key: PseudonymKey | None = Field(
        None, description="Key of the hashes that phones, cards and erased persons are known by"
    )
    pseudonym_old_keys: SecretStr | None = Field(
        None, description="Keys that LCM_PSEUDONYM_KEY had before, oldest first, with commas"
    )
    pseudonymize: bool = Field(
        True, description="With LCM_PSEUDONYM_KEY, store phones and cards as keyed hashes"
    )
    pseudonym_key_file: ExpandablePath | None = Field(
        None, description="File that holds LCM_PSEUDONYM_KEY"
    )
    pseudonym_old_keys_file: ExpandablePath | None = Field(
        None, description="File that holds LCM_PSEUDONYM_OLD_KEYS"
    )
    token_file: ExpandablePath | None = Field(None, description="File that holds LCM_TOKEN")
    site_code_file: ExpandablePath | None = Field(None, description="File that holds LCM_SITE_CODE")
    password_file: ExpandablePath | None = Field(None, description="File that holds LCM_PASSWORD")
    database_url_file: ExpandablePath | None = Field(
        None, description="File that holds LCM_DATABASE_URL"
    )
    bi_database_url_file: ExpandablePath | None = Field(
        None, description="File that holds LCM_BI_DATABASE_URL"
    )
    dagster_database_url_file: ExpandablePath | None = Field(
        None, description="File that holds LCM_DAGSTER_DATABASE_URL"
    )
    celery_broker_file: ExpandablePath | None = Field(
        None, description="File that holds LCM_CELERY_BROKER"
    )
    alert_urls_file: ExpandablePath | None = Field(
        None, description="File that holds LCM_ALERT_URLS"
    )

    @cached_property
    def zone(self) -> ZoneInfo:
        """The programme's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def first_partition(self) -> date:
        """The first business day that can be synced: LCM_START_DATE, or a day of long ago."""
        return self.start_date or _FIRST_DAY_WITHOUT_START

    def yesterday(self) -> date:
        """The business day that ended last, in LCM_TIMEZONE."""
        return datetime.now(self.zone).date() - timedelta(days=1)

    def require_begun(self, last_ended: date) -> None:
        """Raise SettingsError if no day from LCM_START_DATE on has ended."""
        if self.start_date is not None and self.start_date > last_ended:
            raise SettingsError(
                f"LCM_START_DATE: no day from {self.start_date} on has ended in {self.timezone}:"
                f" the last day that has is {last_ended}"
            )

    @property
    def home_path(self) -> Path:
        """LCM_HOME as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def pseudonym_key_bytes(self) -> bytes | None:
        """LCM_PSEUDONYM_KEY without surrounding whitespace; None if it is not set."""
        key = self.pseudonym_key
        return None if key is None else key.get_secret_value().strip().encode()

    @property
    def pseudonym_old_key_bytes(self) -> tuple[bytes, ...]:
        """The keys of LCM_PSEUDONYM_OLD_KEYS, oldest first."""
        given = self.pseudonym_old_keys
        listed = [] if given is None else re.split(r"[,\n]", given.get_secret_value())
        return tuple(key.strip().encode() for key in listed if key.strip())

    @property
    def pseudonyms(self) -> Pseudonyms:
        """What phones and cards are hashed with; falsy if they are stored as they were sent."""
        if self.pseudonym_key_bytes is None or not self.pseudonymize:
            return Pseudonyms()
        return Pseudonyms((*self.pseudonym_old_key_bytes, self.pseudonym_key_bytes))

    def required_api_url(self) -> str:
        """The address of the service; raises SettingsError if LCM_API_URL is not set."""
        if self.api_url is None:
            raise SettingsError(
                "LCM_API_URL is not set: give the service's base address, such as "
                "LCM_API_URL=https://host/WebService/XYZ/lcmanagerpartner/ (or try `lcm demo`)"
            )
        return self.api_url

    def alert_addresses(self) -> list[str]:
        """The addresses of LCM_ALERT_URLS; they contain passwords and tokens."""
        text = self.alert_urls.get_secret_value() if self.alert_urls is not None else ""
        # Addresses may contain commas, so only a comma before another scheme separates them.
        return [url for url in re.split(r",\s*(?=[a-zA-Z][\w+.-]*://)|\s+", text) if url]

    def proxy(self) -> str | None:
        """The address of the proxy for the service, or None; raises SettingsError."""
        try:
            return find_proxy(self.required_api_url(), os.environ)
        except ProxyError as error:
            raise SettingsError(str(error)) from None


def load_settings(**overrides: Any) -> Settings:
    """Read and check the settings. The environment takes precedence over .env.

    overrides: values of fields, which take precedence over both. Raises SettingsError with a line
    for each unknown name and each invalid value.
    """
    problems = _unknown_settings()
    try:
        settings = Settings(**overrides)
        if secrets := _secrets_in_files(settings):
            settings = Settings(**(overrides | secrets))
    except ValidationError as error:
        problems += [_explain(item) for item in error.errors()]
    if problems:
        raise SettingsError("\n".join(problems))
    if settings.api_url is not None and not (settings.allow_http or _is_private(settings.api_url)):
        raise SettingsError(
            "LCM_API_URL: plain http sends the login and personal data unencrypted; give an https"
            " address, or set LCM_ALLOW_HTTP=1 if you control the network"
        )
    if settings.token is not None:
        token = settings.token.get_secret_value().strip()
        is_number = token.isascii() and token.isdigit() and len(token) <= len(str(_LARGEST_INTEGER))
        if not is_number or int(token) > _LARGEST_INTEGER:
            raise SettingsError("LCM_TOKEN: expected a whole number, such as 12345")
    _require_fit_keys(settings)
    if (settings.username is None) != (settings.password is None):
        missing = "LCM_USERNAME" if settings.username is None else "LCM_PASSWORD"
        raise SettingsError(
            f"LCM_USERNAME and LCM_PASSWORD go together: {missing} is not set, or empty"
        )
    if settings.api_url is not None:
        settings.proxy()
    return settings


def _require_fit_keys(settings: Settings) -> None:
    """Raise SettingsError where the old keys cannot have been keys of this warehouse."""
    old = settings.pseudonym_old_key_bytes
    if settings.pseudonym_key is None:
        # Nothing is hashed with old keys alone: the warehouse says what is missing, if it is.
        return
    if any(len(key) < _SHORTEST_KEY for key in old):
        raise SettingsError(
            f"LCM_PSEUDONYM_OLD_KEYS: expected keys of {_SHORTEST_KEY} characters or more, with"
            " commas between them"
        )
    if len({*old, settings.pseudonym_key_bytes}) <= len(old):
        raise SettingsError(
            "LCM_PSEUDONYM_OLD_KEYS: a key is listed twice, or is LCM_PSEUDONYM_KEY itself"
        )


def _secrets_in_files(settings: Settings) -> dict[str, str]:
    """The contents of the LCM_*_FILE files, by setting, without a trailing line break.

    Raises SettingsError; no message quotes the contents of a file.
    """
    secrets: dict[str, str] = {}
    problems: list[str] = []
    for name in _IN_FILES:
        path: Path | None = getattr(settings, f"{name}_file")
        if path is None:
            continue
        setting = _PREFIX + name.upper()
        try:
            text = path.expanduser().read_text(encoding="utf-8-sig").rstrip("\r\n")
        except OSError as error:
            problems.append(f"{setting}_FILE: {path} cannot be read ({error.strerror})")
            continue
        except UnicodeDecodeError:
            problems.append(f"{setting}_FILE: {path} is not UTF-8")
            continue
        if not text.strip():
            problems.append(f"{setting}_FILE: {path} is empty")
        elif getattr(settings, name) is not None:
            problems.append(f"{setting} and {setting}_FILE are both set: leave one out")
        secrets[name] = text
    if problems:
        raise SettingsError("\n".join(problems))
    return secrets


def _is_private(url: str) -> bool:
    """Whether the traffic cannot be read: the address is https, or on this machine."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def env_file() -> Path | None:
    """The path of .env in the working directory; None if there is none."""
    return _ENV_FILE.absolute() if _ENV_FILE.exists() else None


def described_env_file() -> str:
    """Where the settings come from, as a sentence without its full stop."""
    path = env_file()
    if path is None:
        return f"Settings come only from the environment, as there is no .env in {Path.cwd()}"
    return f"Settings come from {path} and the environment"


def postgres_binaries_override() -> Path | None:
    """PG_BINDIR, the folder of the programs for the embedded Postgres; None if not set."""
    value = os.environ.get("PG_BINDIR", "").strip()
    return Path(value) if value else None


def libpq_variables() -> list[str]:
    """The names of set variables that change how libpq connects, such as PGSERVICE and PGTZ."""
    ours = {"PG_BINDIR", "PGDATA"}
    return sorted(name for name in os.environ if name.startswith("PG") and name not in ours)


def child_environment() -> dict[str, str]:
    """The environment for programs of others, without LCM_* and its secrets.

    Variables of Python and Superset are left out too: they would change other Python programs.
    """
    hidden = ("LCM_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SUPERSET_", "FLASK_")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


def _unknown_settings() -> list[str]:
    """A line for each LCM_* name in .env or the environment that is not a setting.

    Names are case-insensitive, as in pydantic-settings. A name that is in both is listed once.
    """
    problems: dict[str, str] = {}
    for name, where in [*_names_in_env_file(), *((name, "") for name in os.environ)]:
        prefix, field = name[: len(_PREFIX)].upper(), name[len(_PREFIX) :].lower()
        prefix = prefix.replace("-", "_").replace(".", "_")
        if prefix != _PREFIX or field in Settings.model_fields or field in problems:
            continue
        nearest = get_close_matches(field, Settings.model_fields, n=1)
        advice = f"did you mean {_PREFIX}{nearest[0].upper()}?" if nearest else "see .env.example"
        if (itself := field.removesuffix("_file")) != field and itself in Settings.model_fields:
            advice = (
                f"only secrets are read from files, such as {_PREFIX}TOKEN_FILE: set"
                f" {_PREFIX}{itself.upper()} itself"
            )
        problems[field] = f"{where}unknown setting {name}; {advice}"
    return list(problems.values())


def _names_in_env_file() -> Iterator[tuple[str, str]]:
    """Yield each name in .env with `FILE, line N: `; raises SettingsError if it is malformed.

    pydantic-settings would silently skip lines that it cannot parse, and a .env that is not a file.
    No message quotes a line, since it may contain a secret.
    """
    path = _ENV_FILE.absolute()
    try:
        # A pipe can be read only once, and pydantic-settings has to read it.
        content = b"" if path.is_fifo() else path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    malformed, names = [], set(os.environ)
    for binding in parse_stream(StringIO(text, newline=None)):
        # The parser counts blank lines before a statement as a part of it.
        text = binding.original.string
        blank_lines = text.count("\n", 0, len(text) - len(text.lstrip()))
        where = f"{path}, line {binding.original.line + blank_lines}: "
        if binding.error or (binding.key is not None and binding.value is None):
            malformed.append(f"{where}expected NAME=VALUE, with every quote closed")
        elif binding.key is not None:
            yield binding.key, where
            if not binding.key.isascii():
                # Such as LСM_OPERATOR with a Cyrillic С, which is no setting and looks like one.
                malformed.append(f"{where}a name with a letter that is not Latin")
            referred = set(_REFERENCE.findall(binding.value or ""))
            if binding.key.upper().startswith(_PREFIX) and referred - names:
                malformed.append(
                    f"{where}{binding.key} has a ${{NAME}} of a variable that is not set; write"
                    f" {LITERAL_DOLLAR} for a $ before a brace"
                )
            names.add(binding.key)
    if malformed:
        raise SettingsError("\n".join(malformed))


def _explain(item: Any) -> str:
    """What a setting has to be, an example, and what was given, unless that may be a secret."""
    field = str(item["loc"][0])
    expected = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] != "value_error":
        # pydantic's own words are about Python's types.
        expected = f"expected {_expected(field)}"
    given = str(item["input"])
    is_private = "Secret" in str(Settings.model_fields[field].annotation) or "@" in given
    if is_private or not expected.startswith("expected"):
        return f"{_PREFIX}{field.upper()}: {expected}"
    return f"{_PREFIX}{field.upper()}: {expected}; got {shown(given, _LONGEST_GIVEN)!r}"


def _expected(field: str) -> str:
    """What a setting has to be, with an example."""
    known = Settings.model_fields[field]
    example = known.default if known.default is not None else _EXAMPLES.get(field)
    such_as = "" if example is None else f", such as {example}"
    kinds = [kind for kind in get_args(known.annotation) if kind is not NoneType]
    kind = kinds[0] if kinds else known.annotation
    if get_origin(known.annotation) is Literal:
        return " or ".join(map(str, get_args(known.annotation)))
    if kind is bool:
        return "1 for yes or 0 for no"
    if kind is date:
        return f"a day, {_EARLIEST_START} or later{such_as}"
    if kind in (int, float):
        number = "a whole number" if kind is int else "a number"
        return f"{number}{_bounds(known.metadata)}{such_as}"
    return f"another value{such_as}"


def _bounds(constraints: list[Any]) -> str:
    """The bounds of a number, as words that follow it."""
    bounds = {
        name: getattr(constraint, name)
        for constraint in constraints
        for name in ("ge", "gt", "le")
        if getattr(constraint, name, None) is not None
    }
    if "ge" in bounds and "le" in bounds:
        return f" from {bounds['ge']} to {bounds['le']}"
    if "ge" in bounds:
        return f", {bounds['ge']} or more"
    most = f", {bounds['le']} at most" if "le" in bounds else ""
    return f" greater than {bounds['gt']}{most}" if "gt" in bounds else ""
