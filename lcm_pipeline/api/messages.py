"""What to think of an answer with ErrorCode 0 and a Message.

The service sends this for information and for exceptions that it swallowed, and nothing tells them
apart. So such a read is looked at again: a clean answer wins; the same text with the same rows
twice is taken as information. An answer without rows proves nothing, for a
swallowed exception looks just so; its text is never learned, and a text that tells of a time-out
or a deadlock is never believed.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from lcm_pipeline.api.responses import reports_overload
from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.pages import Page

MAX_CONFIRMATIONS = 2
# A service that puts a number or a name into each of its texts has no end of them.
_MOST_LEARNED = 1_000


class MessageCheck(NamedTuple):
    """One answer as a page, and the Message that came with it."""

    page: Page
    message: str


async def confirm_message(
    endpoint: Endpoint[Any, Any],
    harmless: set[tuple[str, str]],
    check: Callable[[], Awaitable[MessageCheck]],
) -> Page:
    """Read until a page is clean or confirmed; else the last one is marked suspicious."""
    earlier: list[MessageCheck] = []
    for _ in range(1 + MAX_CONFIRMATIONS):
        seen = await check()
        if not seen.message or (endpoint.name, seen.message) in harmless:
            return seen.page
        if not reports_overload(seen.message) and any(_agree(seen, one) for one in earlier):
            # With a total to compare the rows with, a lost row would show.
            has_total = endpoint.total_field is not None and seen.page.total and seen.page.rows
            if has_total and len(harmless) < _MOST_LEARNED:
                harmless.add((endpoint.name, seen.message))
            return seen.page
        earlier.append(seen)
    return seen.page._replace(suspicious=True)


def _agree(one: MessageCheck, other: MessageCheck) -> bool:
    return (
        one.message == other.message
        and one.page.total == other.page.total
        and [row.digest for row in one.page.rows] == [row.digest for row in other.page.rows]
    )
