"""Our clock, the service's by the Date of its responses, and other dates in their headers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

# A longer header is no date.
_LONGEST_DATE = 100


@dataclass(frozen=True)
class Clock:
    """Clock and sleep; tests pass their own, so that they do not wait."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


SYSTEM_CLOCK = Clock()


def seconds_ahead(date_header: str | None, sent_at: float, received_at: float) -> float | None:
    """Seconds by which the service's clock is ahead of ours; None without a Date.

    sent_at, received_at: when the request was sent and its response received, in Unix time of our
    clock. A Date between the two shows no difference: the service sets it at any time in between,
    in whole seconds.
    """
    date = None if date_header is None else unix_time(date_header[:_LONGEST_DATE])
    if date is None:
        return None
    return date - min(max(date, int(sent_at)), received_at)


# All responses of a second have the same Date.
@lru_cache(maxsize=16)
def unix_time(date_header: str) -> float | None:
    """The Unix time of an HTTP date; None if it is none."""
    try:
        moment = parsedate_to_datetime(date_header)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
