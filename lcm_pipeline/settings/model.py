"""The LCM_* variables: their types, defaults and bounds, and which of them are secret.

A new setting is a Field of Settings and a line in .env.example.
"""

import os
import re
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.integers import LARGEST_INTEGER
from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.proxies import ProxyError, find_proxy
from lcm_pipeline.settings.field_types import (
    BrokerUrl,
    CertificateFile,
    ExpandablePath,
    FirstDay,
    PostgresUrl,
    PseudonymKey,
    ServiceUrl,
    Share,
    Token,
    ZoneName,
)

# Comparing the setting with any other text is an error of types.
Executor = Literal["in_process", "multiprocess", "celery", "k8s"]

PREFIX = "LCM_"
ENV_FILE = Path(".env")
DEFAULT_TIMEZONE = "Europe/Moscow"
MAX_READERS = 64
# Every day from LCM_START_DATE on is polled, and Dagster fails with the first years of all.
EARLIEST_START = date(1990, 1, 1)
# Before the service existed. Each day from here on is a partition in Dagster's UI.
_FIRST_DAY_WITHOUT_START = date(2015, 1, 1)


class SettingsError(UsageError):
    """A setting is missing, malformed or unknown; the message names it and what is expected."""


class Settings(BaseSettings):
    """The settings of one process. Shares are fractions of 1, times are seconds, dates ISO 8601."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    api_url: ServiceUrl | None = Field(
        None, description="Base address of the service, with the tenant's path prefix"
    )
    operator: int | None = Field(
        None, le=LARGEST_INTEGER, description="Operator id sent in every body"
    )
    token: Token | None = Field(None, description="Integer Token sent in every body")
    site_code: SecretStr | None = Field(None, description="SiteCode of a widget, in every body")
    username: str | None = Field(None, description="User of ManagerLogin, for the bearer token")
    password: SecretStr | None = Field(None, description="Password of ManagerLogin")
    api_format: Literal["json", "xml"] = Field("json", description="Format on the wire")
    page_length: int = Field(500, ge=1, le=10_000, description="Rows requested per page")
    concurrency: int = Field(
        16, ge=1, le=512, description="Readings in flight at once, of each reader"
    )
    readers: int = Field(1, ge=1, le=MAX_READERS, description="Reading steps of a run")
    executor: Executor = Field("in_process", description="What runs the steps of a sync")
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
    start_date: FirstDay = Field(
        None,
        ge=EARLIEST_START,
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
    # A secret NAME is read from the file of its field NAME_file instead, as container platforms and
    # systemd hand secrets over.
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

    def require_begun(self) -> None:
        """Raise SettingsError if no day from LCM_START_DATE on has ended."""
        last_ended = self.yesterday()
        if self.start_date is not None and self.start_date > last_ended:
            raise SettingsError(
                f"LCM_START_DATE: no day from {self.start_date} on has ended in {self.timezone}:"
                f" the last day that has ended is {last_ended}"
            )

    @property
    def home_path(self) -> Path:
        """LCM_HOME as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def pseudonym_keys(self) -> tuple[bytes, ...]:
        """LCM_PSEUDONYM_KEY, after those of LCM_PSEUDONYM_OLD_KEYS, oldest first.

        Without surrounding whitespace; none if LCM_PSEUDONYM_KEY is not set.
        """
        if self.pseudonym_key is None:
            return ()
        old = self.pseudonym_old_keys
        listed = [] if old is None else re.split(r"[,\n]", old.get_secret_value())
        keys = (*filter(str.strip, listed), self.pseudonym_key.get_secret_value())
        return tuple(key.strip().encode() for key in keys)

    @property
    def pseudonyms(self) -> Pseudonyms:
        """What phones and cards are hashed with; falsy if they are stored as they were sent."""
        return Pseudonyms(self.pseudonym_keys if self.pseudonymize else ())

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
