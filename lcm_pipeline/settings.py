"""Every LCM_* variable: its default, its check, and whether it is secret.

The environment (and a `.env` file in the working directory) is read here and nowhere else.
"""

import os
from datetime import date
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lcm_pipeline.model.errors import UsageError


class SettingsError(UsageError):
    """A setting is missing or malformed; the message names the variable and what is expected."""


def _share(value: Any) -> float:
    """Accept 0.05, 1/7 or 0: a share between 0 and 1."""
    try:
        share = float(Fraction(str(value).strip()))
    except (ValueError, ZeroDivisionError):
        raise ValueError("expected a share such as 1/7 or 0.05") from None
    if not 0 <= share <= 1:
        raise ValueError("expected a share between 0 and 1")
    return share


def _url_with_host(value: str) -> str:
    try:
        parts = urlsplit(value.strip())
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise ValueError("expected an address such as https://host/prefix/") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("expected an address such as https://host/prefix/, with a host")
    if parts.username or parts.password:
        raise ValueError("keep credentials out of the address: use LCM_USERNAME and LCM_PASSWORD")
    return value.strip().rstrip("/") + "/"


def _postgres_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("expected postgresql://user:password@host:port/database")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("expected a time zone name such as Europe/Moscow") from None
    return value


def _blank_is_unset(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Share = Annotated[float, NoDecode, BeforeValidator(_share)]
ServiceUrl = Annotated[str, AfterValidator(_url_with_host)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
ZoneName = Annotated[str, AfterValidator(_zone)]


class Settings(BaseSettings):
    """The settings of one process. Shares are fractions of 1, times are seconds, dates ISO 8601."""

    model_config = SettingsConfigDict(
        env_prefix="LCM_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    api_url: ServiceUrl | None = Field(
        None, description="Base address of the service, with the tenant's path prefix"
    )
    operator: int | None = Field(None, description="Operator id sent in every body")
    token: SecretStr | None = Field(None, description="Integer Token sent in every body")
    site_code: SecretStr | None = Field(None, description="SiteCode of a widget, in every body")
    username: str | None = Field(None, description="User of ManagerLogin, for the bearer token")
    password: SecretStr | None = Field(None, description="Password of ManagerLogin")
    api_format: Literal["json", "xml"] = Field("json", description="Format on the wire")
    page_length: int = Field(500, ge=1, le=10_000, description="Rows asked for per page")
    concurrency: int = Field(16, ge=1, le=512, description="Readings in flight at once")
    max_rps: float | None = Field(None, gt=0, description="Requests per second at most; none")
    timeout: float = Field(90.0, gt=0, description="Seconds to wait for one answer")
    database_url: PostgresUrl | None = Field(
        None, description="Warehouse; without it an embedded Postgres runs from LCM_HOME"
    )
    bi_database_url: PostgresUrl | None = Field(
        None, description="Warehouse as a member of lcm_bi, for dashboards; made when not set"
    )
    dagster_database_url: PostgresUrl | None = Field(
        None, description="Dagster's own storage in Postgres; without it SQLite in LCM_HOME"
    )
    home: Path = Field(Path(".lcm"), description="Folder of the embedded Postgres and of Dagster")
    timezone: ZoneName = Field("Europe/Moscow", description="Time zone of the business day")
    start_date: date | None = Field(
        None, description="First registration day; without it the first day ever asked for"
    )
    lookback_days: int = Field(
        30, ge=0, le=3650, description="Registration days polled again in each run"
    )
    audit_share: Share = Field(
        1 / 7, description="Share of the roster re-read in full each day, such as 1/7"
    )
    max_staleness_days: int = Field(
        0, ge=0, le=365, description="Ask quiet clients less often, within so many days; 0 is off"
    )
    delete_fuse: Share = Field(
        0.05, description="Stop a publish that would delete more than this share"
    )
    push_canary: int = Field(
        20, ge=0, le=10_000, description="Profile updates sent first, before the rest of a push"
    )
    push_fuse: Share = Field(
        0.2, description="Stop a push when more than this share of the first updates fails"
    )

    @cached_property
    def zone(self) -> ZoneInfo:
        """The programme's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def home_path(self) -> Path:
        """LCM_HOME as an absolute path."""
        return self.home.expanduser().absolute()

    def required_api_url(self) -> str:
        """The service's address, or a SettingsError that says how to set it."""
        if self.api_url is None:
            raise SettingsError(
                "LCM_API_URL is not set: give the service's base address, such as "
                "LCM_API_URL=https://host/WebService/XYZ/lcmanagerpartner/ (or try `lcm demo`)"
            )
        return self.api_url


def load_settings(**overrides: Any) -> Settings:
    """Read the environment and check it; raises SettingsError with one line per bad variable."""
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise SettingsError("\n".join(lines)) from None
    if settings.token is not None and not settings.token.get_secret_value().strip().isdigit():
        raise SettingsError("LCM_TOKEN: expected an integer")
    if (settings.username is None) != (settings.password is None):
        raise SettingsError("LCM_USERNAME and LCM_PASSWORD go together: one of them is not set")
    return settings


def postgres_binaries_override() -> Path | None:
    """PG_BINDIR, where the programs of a Postgres to run embedded lie; None when not set."""
    value = os.environ.get("PG_BINDIR", "").strip()
    return Path(value) if value else None


def child_environment() -> dict[str, str]:
    """The environment for a program that is not ours: without LCM_*, whose secrets are not its."""
    hidden = ("LCM_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SUPERSET_", "FLASK_")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


def _explain(item: Any) -> str:
    name = "LCM_" + "_".join(str(part) for part in item["loc"]).upper()
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}"
