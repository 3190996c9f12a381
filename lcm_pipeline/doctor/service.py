"""Checks of the service, for `lcm doctor`: address, TLS, clock, credentials and paging."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from urllib.parse import urlsplit

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import AuthenticationError, BusinessError, LoyaltyApiError
from lcm_pipeline.api.paging import read_page, read_registrations
from lcm_pipeline.api.probe import ServiceProbe, UnreachableError, probe_service
from lcm_pipeline.doctor.findings import Finding, State, clock_finding
from lcm_pipeline.feeds import CLIENT_FEEDS, Feed
from lcm_pipeline.model.pages import Page, PageRequest
from lcm_pipeline.model.payloads import SERVICE_ZONE
from lcm_pipeline.model.texts import counted
from lcm_pipeline.settings import Settings
from lcm_pipeline.transform.registrations import client_of

_WARN_CERTIFICATE_DAYS = 21
_PROBE_SECONDS = 15.0
_ATTEMPTS = 2
_MAX_DAYS, _MAX_CLIENTS = 7, 10
_ADVICE_ADDRESS = "check LCM_API_URL, the network and the proxy"


def check_service(settings: Settings) -> Iterator[Finding]:
    """Check the service, as far as it responds; nothing without LCM_API_URL."""
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
        yield Finding(name, State.FAIL, f"{host} {error}", advice)
        return
    through = " through a proxy" if settings.proxy() else ""
    yield Finding("service", State.OK, f"{host} responds{through} in {probe.seconds * 1000:.0f} ms")
    yield _check_tls(parts.hostname or "", probe)
    yield clock_finding("clock of the service", probe.clock_ahead)
    yield from asyncio.run(_check_responses(settings))


def _check_tls(host: str, probe: ServiceProbe) -> Finding:
    if probe.tls is None:
        if host in ("localhost", "127.0.0.1", "::1"):
            return Finding("TLS", State.OK, "plain HTTP, on this machine only")
        advice = "use https://: tokens and personal data can be read in transit"
        return Finding("TLS", State.WARN, "plain HTTP, not encrypted", advice)
    if probe.certificate_ends is None:
        return Finding("TLS", State.OK, probe.tls)
    days = (probe.certificate_ends - datetime.now(UTC)).days
    found = f"{probe.tls}, certificate valid for {counted(days, 'day')}"
    if days < _WARN_CERTIFICATE_DAYS:
        return Finding("TLS", State.WARN, found, "have the service's certificate renewed")
    return Finding("TLS", State.OK, found)


async def _check_responses(settings: Settings) -> Sequence[Finding]:
    """Check the credentials, and measure how each endpoint pages, by calls on live clients."""
    async with LoyaltyApi.from_settings(settings) as opened:
        api = opened.with_attempts(_ATTEMPTS)
        try:
            clients = await _recent_clients(api, settings)
        except (AuthenticationError, BusinessError) as error:
            advice = "check LCM_TOKEN, LCM_OPERATOR, LCM_SITE_CODE, LCM_USERNAME and LCM_PASSWORD"
            return [Finding("identity", State.FAIL, str(error), advice)]
        except LoyaltyApiError as error:
            return [Finding("identity", State.FAIL, str(error), _ADVICE_ADDRESS)]
        identity = Finding("identity", State.OK, "the service accepts our requests")
        if not clients:
            found = f"no client registered in the last {_MAX_DAYS} days"
            return [identity, Finding("paging", State.WARN, found, "each sync measures it")]
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
        begins = datetime.combine(day, time())
        page = await read_registrations(api, begins, begins + timedelta(days=1))
        # A client has a row for each of its cards; of XML, numbers are texts.
        client_ids = list(dict.fromkeys(filter(None, map(client_of, page.rows))))
        if client_ids:
            return client_ids[:_MAX_CLIENTS]
    return []


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
            return Finding(name, State.OK, "too few rows to measure; each sync measures it")
        client_id, page = fullest
        short = await read_page(api, feed.endpoint, client_id, PageRequest(1, 1))
        from_zero = await read_page(api, feed.endpoint, client_id, PageRequest(0, 1))
    except LoyaltyApiError as error:
        return Finding(name, State.FAIL, str(error), "run lcm doctor again, then ask the vendor")
    # If Start=1 returns the first row, and Start=0 neither it nor the second, that is row 0.
    first_two = [row.digest for row in page.rows[:2]]
    is_at_one = bool(short.rows) and short.rows[0].digest == first_two[0]
    has_row_zero = is_at_one and from_zero.rows and from_zero.rows[0].digest not in first_two
    found = f"rows are counted from {0 if has_row_zero else 1}"
    if len(short.rows) > 1:
        found += f"; a page of 1 returns {len(short.rows)}"
    if len(page.rows) < min(_total(page), length):
        found += f"; pages are capped at {counted(len(page.rows), 'row')}"
        return Finding(name, State.WARN, found, f"set LCM_PAGE_LENGTH={len(page.rows)}")
    return Finding(
        name, State.OK, f"{found}; rows in a page of {length}: {len(page.rows)} of {_total(page)}"
    )


def _total(page: Page) -> int:
    """Return the rows that a client has, as its page claims; without a claim, those on it."""
    return len(page.rows) if page.total is None else page.total
