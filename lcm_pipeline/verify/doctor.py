"""Checks everything that the daily load depends on; changes nothing.

Each check yields findings: ok, warn or fail, what was found, and what to do. A check never raises,
so that one failure does not hide the others, and no finding contains a secret or personal data.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import BusinessError, IdentityError, LoyaltyApiError
from lcm_pipeline.api.paging import read_page, read_registrations
from lcm_pipeline.api.probe import UnreachableError, probe_service
from lcm_pipeline.feeds import CLIENT_FEEDS, Feed
from lcm_pipeline.files import existing_folder
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.pages import Page, PageRequest
from lcm_pipeline.model.payloads import SERVICE_ZONE
from lcm_pipeline.settings import Settings, SettingsError, env_file
from lcm_pipeline.transform.registrations import client_of
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.diagnosis import (
    WarehouseFacts,
    problem_with_keys,
    read_facts,
    why_unreachable,
)
from lcm_pipeline.warehouse.errors import NothingSyncedError
from lcm_pipeline.warehouse.status import read_status

_MEGABYTE = 1_000_000
_WARN_FREE_BYTES, _FAIL_FREE_BYTES = 5_000 * _MEGABYTE, 500 * _MEGABYTE
_WARN_CERTIFICATE_DAYS = 21
_WARN_CLOCK_SECONDS, _FAIL_CLOCK_SECONDS = 30, 300
_PROBE_SECONDS = 15.0
_ATTEMPTS = 2
_MAX_DAYS, _MAX_CLIENTS = 7, 10
_ADVICE_ADDRESS = "check LCM_API_URL, the network and the proxy"


class Level(StrEnum):
    """The result of a check. warn: it works today, but needs attention."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the report. advice: what to do, "" when there is nothing to do."""

    name: str
    state: Level
    found: str
    advice: str = ""


def examine(settings: Settings, *, is_new: bool = False) -> Iterator[Finding]:
    """Run all checks, in the order in which a sync needs what they check.

    is_new: the settings are new, so nobody expects a warehouse yet, and that there is none is ok.
    """
    yield from _check_settings(settings)
    yield from _check_disk(settings)
    yield from _check_warehouse(settings, is_new=is_new)
    yield from _check_dagster(settings)
    yield _check_executor(settings)
    yield from _check_service(settings)


def _check_settings(settings: Settings) -> Iterator[Finding]:
    path = env_file()
    source = f"{path} and the environment" if path else f"the environment; no .env in {Path.cwd()}"
    yield Finding("settings", Level.OK, f"read from {source}")
    if path is not None and path.stat().st_mode & 0o044:
        yield Finding(
            "settings file", Level.WARN, f"{path} can be read by others", f"chmod 600 {path}"
        )
    has_identity = any((settings.token, settings.site_code, settings.username))
    if settings.api_url is None:
        advice = "set LCM_API_URL, or run lcm init, which asks for everything"
        yield Finding("address", Level.FAIL, "LCM_API_URL is not set", advice)
    elif not has_identity:
        advice = "set LCM_TOKEN, LCM_SITE_CODE, or LCM_USERNAME and LCM_PASSWORD"
        yield Finding("identity settings", Level.WARN, "no identity is set", advice)
    advice = "set it to the programme's first day"
    if settings.start_date is None:
        yield Finding(
            "start", Level.WARN, "LCM_START_DATE is not set: clients who registered before the"
            " first synced day are not found", advice,
        )  # fmt: skip
        return
    try:
        settings.require_begun(settings.yesterday())
    except SettingsError as error:
        yield Finding("start", Level.WARN, str(error), advice)


def _check_disk(settings: Settings) -> Iterator[Finding]:
    home = settings.home_path
    existing = existing_folder(home)
    free = shutil.disk_usage(existing).free
    found = f"{free / 1e9:,.1f} GB free for LCM_HOME ({home})"
    if free < _FAIL_FREE_BYTES:
        yield Finding("disk", Level.FAIL, found, "free some space, or move LCM_HOME")
    elif free < _WARN_FREE_BYTES:
        yield Finding("disk", Level.WARN, found, "free some space before it is full")
    else:
        yield Finding("disk", Level.OK, found)
    if not os.access(existing, os.W_OK):
        advice = "set LCM_HOME to a folder that you may write to"
        yield Finding("home", Level.FAIL, f"{existing} cannot be written to", advice)


def _check_warehouse(settings: Settings, *, is_new: bool) -> Iterator[Finding]:
    try:
        with open_warehouse(settings, is_read_only=True) as warehouse:
            facts = read_facts(warehouse)
            version = f"{warehouse.location}, PostgreSQL {facts.version}"
            yield Finding("warehouse", Level.OK, version)
            yield from _check_facts(settings, facts)
            yield from _check_status(settings, warehouse, is_new=is_new)
            yield _check_keys(settings, warehouse)
    except NothingSyncedError as error:
        if is_new:
            yield Finding(
                "warehouse", Level.OK, f"the first sync creates it in {settings.home_path}"
            )
            return
        advice = "lcm sync creates and fills it"
        yield Finding("warehouse", Level.WARN, str(error).splitlines()[0], advice)
    except UserError as error:
        advice = "correct that, then run lcm doctor again"
        yield Finding("warehouse", Level.FAIL, str(error), advice)


def _check_facts(settings: Settings, facts: WarehouseFacts) -> Iterator[Finding]:
    if facts.missing_rights:
        advice = f"have its owner run: {' '.join(facts.missing_rights)}"
        yield Finding("rights", Level.FAIL, f"{facts.user} lacks rights", advice)
    else:
        yield Finding("rights", Level.OK, f"{facts.user} may fill the warehouse")
    if facts.is_standby:
        yield Finding("primary", Level.FAIL, "a read-only standby", "set the primary's address")
    if facts.size is not None:
        yield Finding("size", Level.OK, f"the database has {facts.size / 1e9:,.1f} GB")
    yield _check_clock("clock of the warehouse", facts.clock_ahead)
    if facts.timezone is not None and facts.timezone != settings.timezone:
        found = f"LCM_TIMEZONE is {settings.timezone}, but the marts were built in {facts.timezone}"
        yield Finding("zone", Level.WARN, found, "restore LCM_TIMEZONE, or sync all days again")
    else:
        now = datetime.now(settings.zone)
        yield Finding("zone", Level.OK, f"{settings.timezone}, where it is {now:%Y-%m-%d %H:%M}")


def _check_status(settings: Settings, warehouse: Warehouse, *, is_new: bool) -> Iterator[Finding]:
    try:
        status = read_status(warehouse, compares_marts=True)
    except NothingSyncedError:
        if is_new:
            yield Finding("schema", Level.OK, "the first sync creates it")
            return
        yield Finding("schema", Level.WARN, "not created yet", "lcm migrate or lcm sync creates it")
        return
    except UserError as error:
        yield Finding("schema", Level.FAIL, str(error), "lcm migrate")
        return
    yield Finding("schema", Level.OK, "matches this version")
    run = status.last_run
    if run is not None and run.has_failed:
        found = f"{run.feed} {run.first_day} to {run.last_day}: {run.state}"
        if run.error:
            found += f": {run.error}"
        yield Finding("last run", Level.WARN, found, "run the same lcm sync again")
    yesterday = settings.yesterday()
    if status.last_runs and not status.is_complete(yesterday, settings.max_staleness_days):
        found = f"not complete through {yesterday}"
        yield Finding("completeness", Level.WARN, found, "lcm status --pending; lcm sync --missing")
    elif status.last_runs:
        yield Finding("completeness", Level.OK, f"complete through {yesterday}")
    if status.marts_behind:
        found = f"{len(status.marts_behind):,} are older than the facts or mart.parameters"
        advice = "lcm marts refreshes them; if totals differ, first lcm verify --all --fix"
        yield Finding("marts", Level.WARN, found, advice)


def _check_keys(settings: Settings, warehouse: Warehouse) -> Finding:
    name, pseudonyms = "pseudonym key", settings.pseudonyms
    if problem := problem_with_keys(warehouse, pseudonyms):
        return Finding(name, Level.FAIL, problem, "see docs/privacy.md")
    if pseudonyms:
        count = len(pseudonyms.keys)
        chain = f", after {count - 1} older" if count > 1 else ""
        return Finding(
            name, Level.OK, f"is that of the warehouse{chain}: phones and cards are hashes"
        )
    if settings.pseudonym_key is not None:
        return Finding(name, Level.OK, "is for erased persons alone, as LCM_PSEUDONYMIZE is 0")
    return Finding(name, Level.OK, "is not set: phones and cards are stored as they come")


def _check_dagster(settings: Settings) -> Iterator[Finding]:
    if settings.dagster_database_url is None:
        return
    storage = Warehouse(settings.dagster_database_url.get_secret_value())
    reason = why_unreachable(storage)
    if reason is None:
        yield Finding("Dagster's storage", Level.OK, storage.location)
    else:
        advice = "check LCM_DAGSTER_DATABASE_URL"
        yield Finding("Dagster's storage", Level.FAIL, f"{storage.location}: {reason}", advice)


def _check_executor(settings: Settings) -> Finding:
    """Check LCM_READERS; `orchestration.diagnosis` checks what the executor itself needs."""
    found = f"{settings.executor}, {settings.readers} readers of a feed"
    if settings.readers > 1 and settings.executor == "in_process":
        advice = "set LCM_EXECUTOR to multiprocess or celery, or leave LCM_READERS at 1"
        return Finding("executor", Level.WARN, f"{found}, one after the other", advice)
    return Finding("executor", Level.OK, found if settings.readers > 1 else settings.executor)


def _check_service(settings: Settings) -> Iterator[Finding]:
    if settings.api_url is None:
        return
    parts = urlsplit(settings.api_url)
    host = f"{parts.scheme}://{parts.netloc}"
    try:
        probe = probe_service(
            settings.api_url,
            proxy=settings.proxy(),
            ca_file=settings.ca_file,
            timeout=min(settings.timeout, _PROBE_SECONDS),
        )
    except UnreachableError as error:
        advice = _ADVICE_ADDRESS
        if error.is_certificate:
            advice = "have it renewed, or name its authority in LCM_CA_FILE"
        name = "TLS" if error.is_certificate else "service"
        yield Finding(name, Level.FAIL, f"{host} cannot be reached: {error}", advice)
        return
    through = " through a proxy" if settings.proxy() else ""
    yield Finding("service", Level.OK, f"{host} responds{through} in {probe.seconds * 1000:.0f} ms")
    yield _check_tls(parts.hostname or "", probe.tls, probe.certificate_ends)
    yield _check_clock("clock of the service", probe.clock_ahead)
    yield from asyncio.run(_check_responses(settings))


def _check_tls(host: str, tls: str | None, ends: datetime | None) -> Finding:
    if tls is None:
        if host in ("localhost", "127.0.0.1", "::1"):
            return Finding("TLS", Level.OK, "plain HTTP, on this machine only")
        advice = "use https://: tokens and personal data can be read in transit"
        return Finding("TLS", Level.WARN, "plain HTTP, not encrypted", advice)
    days = (ends - datetime.now(UTC)).days if ends else None
    found = f"{tls}, certificate valid for {days} days" if days is not None else tls
    if days is not None and days < _WARN_CERTIFICATE_DAYS:
        return Finding("TLS", Level.WARN, found, "have the service's certificate renewed")
    return Finding("TLS", Level.OK, found)


def _check_clock(name: str, ahead: float | None) -> Finding:
    if ahead is None:
        return Finding(name, Level.OK, "not reported")
    seconds = abs(ahead)
    direction = "ahead of" if ahead > 0 else "behind"
    found = f"{seconds:,.0f} s {direction} this machine's" if seconds >= 1 else "agrees"
    if seconds < _WARN_CLOCK_SECONDS:
        return Finding(name, Level.OK, found)
    state = Level.FAIL if seconds >= _FAIL_CLOCK_SECONDS else Level.WARN
    return Finding(name, state, found, "synchronize both with NTP: days end by the clock")


async def _check_responses(settings: Settings) -> Sequence[Finding]:
    """Check the identity, and measure how each endpoint pages, by a few calls on live clients."""
    async with LoyaltyApi.from_settings(settings) as opened:
        api = opened.with_attempts(_ATTEMPTS)
        try:
            clients = await _recent_clients(api, settings)
        except (IdentityError, BusinessError) as error:
            advice = "check LCM_TOKEN, LCM_OPERATOR, LCM_SITE_CODE, LCM_USERNAME and LCM_PASSWORD"
            return [Finding("identity", Level.FAIL, str(error), advice)]
        except LoyaltyApiError as error:
            return [Finding("identity", Level.FAIL, str(error), _ADVICE_ADDRESS)]
        identity = Finding("identity", Level.OK, "the service accepts our requests")
        if not clients:
            found = f"no client registered in the last {_MAX_DAYS} days"
            return [identity, Finding("paging", Level.WARN, found, "the first sync measures it")]
        return [
            identity,
            *[await _measure_paging(api, feed, clients, settings) for feed in CLIENT_FEEDS],
        ]


async def _recent_clients(api: LoyaltyApi, settings: Settings) -> list[int]:
    """Return clients who registered on one day of the last _MAX_DAYS, at most _MAX_CLIENTS."""
    today = datetime.now(SERVICE_ZONE).date()
    # The oldest day first: whoever registered yesterday has too few rows to measure pages with.
    for days_ago in range(_MAX_DAYS, 0, -1):
        day = today - timedelta(days=days_ago)
        if settings.start_date is not None and day < settings.start_date:
            continue
        page = await read_registrations(api, _midnight(day), _midnight(day + timedelta(days=1)))
        # A client has a row for each of its cards; of XML, numbers are texts.
        client_ids = list(dict.fromkeys(filter(None, map(client_of, page.rows))))
        if client_ids:
            return client_ids[:_MAX_CLIENTS]
    return []


def _midnight(day: date) -> datetime:
    """Return the start of the day in the service's naive local time."""
    return datetime(day.year, day.month, day.day)


async def _measure_paging(
    api: LoyaltyApi, feed: Feed, clients: Sequence[int], settings: Settings
) -> Finding:
    """Measure how an endpoint pages, on the client with the most rows."""
    name = f"paging of {feed.name}"
    length = settings.page_length
    fullest: tuple[int, Page] | None = None
    try:
        for client_id in clients:
            page = await read_page(api, feed.endpoint, client_id, PageRequest(1, length))
            # Compare totals: with a cap, the first pages of many clients are equally long.
            if fullest is None or _total(page) > _total(fullest[1]):
                fullest = client_id, page
        if fullest is None or len(fullest[1].rows) < 2:
            return Finding(name, Level.OK, "too few rows to measure; each sync measures it")
        client_id, page = fullest
        short = await read_page(api, feed.endpoint, client_id, PageRequest(1, 1))
        from_zero = await read_page(api, feed.endpoint, client_id, PageRequest(0, 1))
    except LoyaltyApiError as error:
        return Finding(name, Level.FAIL, str(error), "run lcm doctor again, then ask the vendor")
    first = [row.digest for row in page.rows[:2]]
    base = 1
    if [row.digest for row in short.rows[:1]] == first[:1]:
        # Start=1 returned the first row. If Start=0 returned a different row, that one is row 0.
        is_other = from_zero.rows and from_zero.rows[0].digest not in first
        base = 0 if is_other else 1
    found = f"rows are counted from {base}"
    if len(short.rows) > 1:
        found += f"; a page of 1 returns {len(short.rows)}"
    if len(page.rows) < min(_total(page), length):
        found += f"; pages are capped at {len(page.rows)} rows"
        return Finding(name, Level.WARN, found, f"set LCM_PAGE_LENGTH={len(page.rows)}")
    return Finding(
        name, Level.OK, f"{found}; {len(page.rows)} of {_total(page)} rows in a page of {length}"
    )


def _total(page: Page) -> int:
    """Return the rows that a client has, as its page claims; without a claim, those on it."""
    return len(page.rows) if page.total is None else page.total
