"""What could keep the daily load from working, looked at one by one; changes nothing.

Each look is a line: ok, warn or fail, what was found, and what to do. None of them raises, so that
one that fails does not hide the others; and none shows a secret or personal data.
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

import msgspec

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import BusinessError, IdentityError, LoyaltyApiError
from lcm_pipeline.api.paging import read_page, read_registrations
from lcm_pipeline.api.probe import UnreachableError, probe_service
from lcm_pipeline.feeds import CLIENT_FEEDS, Feed
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.pages import Page, PageRequest
from lcm_pipeline.model.payloads import SERVICE_ZONE
from lcm_pipeline.settings import Settings, env_file
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.diagnosis import WarehouseFacts, is_reachable, read_facts
from lcm_pipeline.warehouse.errors import NothingSyncedError
from lcm_pipeline.warehouse.status import read_status

_MEGABYTE = 1_000_000
_LITTLE_SPACE, _NO_SPACE = 5_000 * _MEGABYTE, 500 * _MEGABYTE
_CERTIFICATE_DAYS = 21
_CLOCK_SECONDS, _WORST_CLOCK_SECONDS = 30, 300
_PROBE_SECONDS = 15.0
_ATTEMPTS = 2
_MOST_DAYS, _MOST_CLIENTS = 7, 10
_ADVICE_ADDRESS = "check LCM_API_URL, the network and the proxy"


class State(StrEnum):
    """How a look ended. warn: it works today, and somebody should know."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line. advice: what to do; "" where there is nothing to do."""

    name: str
    state: State
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, in the order in which it is needed."""
    yield from _look_at_settings(settings)
    yield from _look_at_disk(settings)
    yield from _look_at_warehouse(settings)
    yield from _look_at_dagster(settings)
    yield _look_at_executor(settings)
    yield from _look_at_service(settings)


def _look_at_settings(settings: Settings) -> Iterator[Finding]:
    path = env_file()
    source = f"{path} and the environment" if path else f"the environment; no .env in {Path.cwd()}"
    yield Finding("settings", State.OK, f"read from {source}")
    if path is not None and path.stat().st_mode & 0o044:
        yield Finding(
            "settings file", State.WARN, f"{path} can be read by others", f"chmod 600 {path}"
        )
    has_identity = any((settings.token, settings.site_code, settings.username))
    if settings.api_url is None:
        advice = "set LCM_API_URL, or let lcm init ask for everything"
        yield Finding("address", State.FAIL, "LCM_API_URL is not set", advice)
    elif not has_identity:
        advice = "set LCM_TOKEN, LCM_SITE_CODE, or LCM_USERNAME and LCM_PASSWORD"
        yield Finding("identity settings", State.WARN, "no identity is set", advice)
    if settings.start_date is None:
        yield Finding(
            "start", State.WARN, "LCM_START_DATE is not set: who registered before the first day"
            " that is synced is not found", "set it to the programme's first day",
        )  # fmt: skip


def _look_at_disk(settings: Settings) -> Iterator[Finding]:
    home = settings.home_path
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    told = f"{free / 1e9:,.1f} GB free for LCM_HOME ({home})"
    if free < _NO_SPACE:
        yield Finding("disk", State.FAIL, told, "free some space, or move LCM_HOME")
    elif free < _LITTLE_SPACE:
        yield Finding("disk", State.WARN, told, "free some space before it is full")
    else:
        yield Finding("disk", State.OK, told)
    if not os.access(there, os.W_OK):
        advice = "set LCM_HOME to a folder that you may write to"
        yield Finding("home", State.FAIL, f"{there} cannot be written to", advice)


def _look_at_warehouse(settings: Settings) -> Iterator[Finding]:
    try:
        with open_warehouse(settings, is_read_only=True) as warehouse:
            facts = read_facts(warehouse)
            version = f"{warehouse.place}, PostgreSQL {facts.version}"
            yield Finding("warehouse", State.OK, version)
            yield from _judge(settings, facts)
            yield from _look_at_status(settings, warehouse)
    except NothingSyncedError as nothing:
        advice = "lcm sync makes and fills it"
        yield Finding("warehouse", State.WARN, str(nothing).splitlines()[0], advice)
    except UserError as error:
        yield Finding("warehouse", State.FAIL, str(error), "see the message")


def _judge(settings: Settings, facts: WarehouseFacts) -> Iterator[Finding]:
    if facts.missing_rights:
        advice = f"have its owner run: {' '.join(facts.missing_rights)}"
        yield Finding("rights", State.FAIL, f"{facts.user} lacks rights", advice)
    else:
        yield Finding("rights", State.OK, f"{facts.user} may fill the warehouse")
    if facts.is_standby:
        yield Finding("primary", State.FAIL, "a read-only standby", "give the primary's address")
    if facts.size is not None:
        yield Finding("size", State.OK, f"the database has {facts.size / 1e9:,.1f} GB")
    yield _judge_clock("clock of the warehouse", facts.clock_ahead)
    if facts.timezone is not None and facts.timezone != settings.timezone:
        told = f"LCM_TIMEZONE is {settings.timezone}, and the marts were made in {facts.timezone}"
        yield Finding("zone", State.WARN, told, "put LCM_TIMEZONE back, or sync all days anew")
    else:
        now = datetime.now(settings.zone)
        yield Finding("zone", State.OK, f"{settings.timezone}, where it is {now:%Y-%m-%d %H:%M}")


def _look_at_status(settings: Settings, warehouse: Warehouse) -> Iterator[Finding]:
    try:
        status = read_status(warehouse)
    except NothingSyncedError:
        yield Finding("schema", State.WARN, "not made yet", "lcm migrate or lcm sync makes it")
        return
    except UserError as error:
        yield Finding("schema", State.FAIL, str(error), "lcm migrate")
        return
    yield Finding("schema", State.OK, "is that of this version")
    run = status.last_run
    if run is not None and run.has_failed:
        told = f"{run.feed} {run.first_day} to {run.last_day}: {run.state} {run.error or ''}"
        yield Finding("last run", State.WARN, told.strip(), "run the same lcm sync again")
    yesterday = datetime.now(settings.zone).date() - timedelta(days=1)
    if status.last_runs and not status.is_complete(yesterday, settings.max_staleness_days):
        told = f"not complete through {yesterday}"
        yield Finding("completeness", State.WARN, told, "lcm status --pending; lcm sync --missing")
    elif status.last_runs:
        yield Finding("completeness", State.OK, f"complete through {yesterday}")


def _look_at_dagster(settings: Settings) -> Iterator[Finding]:
    if settings.dagster_database_url is None:
        return
    storage = Warehouse(settings.dagster_database_url.get_secret_value())
    reason = is_reachable(storage)
    if reason is None:
        yield Finding("Dagster's storage", State.OK, storage.place)
    else:
        advice = "check LCM_DAGSTER_DATABASE_URL"
        yield Finding("Dagster's storage", State.FAIL, f"{storage.place}: {reason}", advice)


def _look_at_executor(settings: Settings) -> Finding:
    """What the executor itself needs is looked at by `orchestration.diagnosis`."""
    told = f"{settings.executor}, {settings.readers} readers of a feed"
    if settings.readers > 1 and settings.executor == "in_process":
        advice = "set LCM_EXECUTOR to multiprocess or celery, or leave LCM_READERS at 1"
        return Finding("executor", State.WARN, f"{told}, one after the other", advice)
    return Finding("executor", State.OK, told if settings.readers > 1 else settings.executor)


def _look_at_service(settings: Settings) -> Iterator[Finding]:
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
        yield Finding(name, State.FAIL, f"{host} cannot be reached: {error}", advice)
        return
    through = " through a proxy" if settings.proxy() else ""
    yield Finding("service", State.OK, f"{host} answers{through} in {probe.seconds * 1000:.0f} ms")
    yield _judge_tls(parts.hostname or "", probe.tls, probe.certificate_ends)
    yield _judge_clock("clock of the service", probe.clock_ahead)
    yield from asyncio.run(_look_at_answers(settings))


def _judge_tls(host: str, tls: str | None, ends: datetime | None) -> Finding:
    if tls is None:
        if host in ("localhost", "127.0.0.1", "::1"):
            return Finding("TLS", State.OK, "plain HTTP, on this machine alone")
        advice = "use https://: tokens and personal data are read on the way"
        return Finding("TLS", State.WARN, "plain HTTP, not encrypted", advice)
    days = (ends - datetime.now(UTC)).days if ends else None
    told = f"{tls}, certificate valid for {days} days" if days is not None else tls
    if days is not None and days < _CERTIFICATE_DAYS:
        return Finding("TLS", State.WARN, told, "have the service's certificate renewed")
    return Finding("TLS", State.OK, told)


def _judge_clock(name: str, ahead: float | None) -> Finding:
    if ahead is None:
        return Finding(name, State.OK, "not told")
    seconds = abs(ahead)
    direction = "ahead of" if ahead > 0 else "behind"
    told = f"{seconds:,.0f} s {direction} this machine's" if seconds >= 1 else "agrees"
    if seconds < _CLOCK_SECONDS:
        return Finding(name, State.OK, told)
    state = State.FAIL if seconds >= _WORST_CLOCK_SECONDS else State.WARN
    return Finding(name, state, told, "let both keep time by NTP: days end by the clock")


async def _look_at_answers(settings: Settings) -> Sequence[Finding]:
    """Who we are to the service, and how it pages; by a few calls on live clients."""
    async with LoyaltyApi.from_settings(settings) as opened:
        api = opened.with_attempts(_ATTEMPTS)
        try:
            clients = await _find_clients(api, settings)
        except (IdentityError, BusinessError) as error:
            advice = "check LCM_TOKEN, LCM_OPERATOR, LCM_SITE_CODE, LCM_USERNAME and LCM_PASSWORD"
            return [Finding("identity", State.FAIL, str(error), advice)]
        except LoyaltyApiError as error:
            return [Finding("identity", State.FAIL, str(error), _ADVICE_ADDRESS)]
        who = Finding("identity", State.OK, "the service answers our requests")
        if not clients:
            told = f"nobody registered in the last {_MOST_DAYS} days"
            return [who, Finding("paging", State.WARN, told, "the first sync measures it")]
        return [who, *[await _measure(api, feed, clients, settings) for feed in CLIENT_FEEDS]]


async def _find_clients(api: LoyaltyApi, settings: Settings) -> list[int]:
    """Clients of the last days with a registration, oldest day last."""
    today = datetime.now(SERVICE_ZONE).date()
    for days_ago in range(1, _MOST_DAYS + 1):
        day = today - timedelta(days=days_ago)
        if settings.start_date is not None and day < settings.start_date:
            break
        page = await read_registrations(api, _midnight(day), _midnight(day + timedelta(days=1)))
        clients = [msgspec.json.decode(row.raw).get("Client") for row in page.rows]
        found = [client for client in clients if isinstance(client, int)]
        if found:
            return found[:_MOST_CLIENTS]
    return []


def _midnight(day: date) -> datetime:
    """Of the service's clock, which is naive."""
    return datetime(day.year, day.month, day.day)


async def _measure(
    api: LoyaltyApi, feed: Feed, clients: Sequence[int], settings: Settings
) -> Finding:
    """How an endpoint pages, seen on the client with the most rows."""
    name = f"paging of {feed.name}"
    length = settings.page_length
    fullest: tuple[int, Page] | None = None
    try:
        for client_id in clients:
            page = await read_page(api, feed.endpoint, client_id, PageRequest(1, length))
            if fullest is None or len(page.rows) > len(fullest[1].rows):
                fullest = client_id, page
        if fullest is None or len(fullest[1].rows) < 2:
            return Finding(name, State.OK, "too few rows to measure; each sync measures it")
        client_id, page = fullest
        short = await read_page(api, feed.endpoint, client_id, PageRequest(1, 1))
        from_zero = await read_page(api, feed.endpoint, client_id, PageRequest(0, 1))
    except LoyaltyApiError as error:
        return Finding(name, State.FAIL, str(error), "lcm doctor again; then ask the vendor")
    first = [row.digest for row in page.rows[:2]]
    base = 1
    if [row.digest for row in short.rows[:1]] == first[:1]:
        # Row 1 is the first one; where row 0 is another one, rows are counted from 0.
        is_other = from_zero.rows and from_zero.rows[0].digest not in first
        base = 0 if is_other else 1
    told = f"rows are counted from {base}"
    if len(short.rows) > 1:
        told += f"; a page of 1 brings {len(short.rows)}"
    total = page.total if page.total is not None else len(page.rows)
    if len(page.rows) < min(total, length):
        told += f"; pages are capped at {len(page.rows)} rows"
        return Finding(name, State.WARN, told, f"LCM_PAGE_LENGTH={len(page.rows)} asks for no more")
    return Finding(
        name, State.OK, f"{told}; {len(page.rows)} of {total} rows in a page of {length}"
    )
