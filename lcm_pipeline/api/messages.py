"""Decides whether a response with ErrorCode 0 and a Message can be trusted.

The service sends such a Message both as information and for exceptions that it swallowed, and the
two look the same. So the page is fetched again: a response without Message is accepted, and the
same Message with the same rows twice is taken as information. The Message of an empty response is
never remembered as harmless, as a swallowed exception looks the same. One that reports a time-out
or a deadlock is never accepted.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from lcm_pipeline.api.responses import reports_overload
from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.pages import Page

MAX_CONFIRMATIONS = 2
# A bound for services whose every Message has another number or name in it.
_MAX_LEARNED = 1_000


class PageWithMessage(NamedTuple):
    """The page of one response, and the response's Message."""

    page: Page
    message: str


async def confirm_message(
    endpoint: Endpoint[Any, Any],
    harmless: set[tuple[str, str]],
    fetch: Callable[[], Awaitable[PageWithMessage]],
) -> Page:
    """Fetch until a page has no Message or its Message is confirmed as information.

    harmless: confirmed pairs of endpoint and Message, which this extends. A page that is not
    confirmed after MAX_CONFIRMATIONS is returned as suspicious.
    """
    earlier: list[tuple[str, int | None, list[bytes]]] = []
    for _ in range(1 + MAX_CONFIRMATIONS):
        current = await fetch()
        if not current.message or (endpoint.name, current.message) in harmless:
            return current.page
        # Equal messages, totals and rows.
        digests = [row.digest for row in current.page.rows]
        content = (current.message, current.page.total, digests)
        if not reports_overload(current.message) and content in earlier:
            # Remember it only when there are rows and a total to check them against: with these a
            # page that lost rows would have been noticed.
            has_total = (
                endpoint.total_field is not None and current.page.total and current.page.rows
            )
            if has_total and len(harmless) < _MAX_LEARNED:
                harmless.add((endpoint.name, current.message))
            return current.page
        earlier.append(content)
    return current.page._replace(is_suspicious=True)
