"""What is asked again, how often, and how long to wait before.

Reads may be asked again freely. A write is asked again only when the server cannot have acted on
it. Being throttled (HTTP 429) says nothing against the request, so many more
attempts are allowed for it than for a failure. Waiting goes through a `Clock`, so that a test
never sleeps.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeVar

from lcm_pipeline.api.errors import TransientError, UnavailableError

logger = logging.getLogger(__name__)

# Characters; longer than any date.
_LONGEST_RETRY_AFTER = 64

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Clock:
    """Time and waiting; tests pass their own."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential back-off with jitter, within bounds. Times are seconds."""

    attempts: int = 6
    throttled_attempts: int = 20
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_retry_after: float = 60.0

    def wait_after(self, error: TransientError, attempt: int) -> float:
        """Return how long to wait after the attempt of that number, counted from 1."""
        if error.retry_after is not None:
            return min(error.retry_after, self.longest_retry_after)
        ceiling = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt - 1, 20))
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311


@dataclass
class RequestCounts:
    """Requests sent so far, by endpoint too; retries are those asked again."""

    requests: int = 0
    retries: int = 0
    by_endpoint: dict[str, int] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """Count one request."""
        self.requests += 1
        self.by_endpoint[name] = self.by_endpoint.get(name, 0) + 1


@dataclass
class Retrier:
    """Asks until an answer comes, the error is final, or the attempts are used up.

    budget: seconds that the failed requests of one call may take together. Without it a server
    that never finishes a response would hold a call for as many time-outs as there are attempts.
    """

    policy: RetryPolicy
    clock: Clock
    counts: RequestCounts
    cool_down: Callable[[float], None]
    budget: float = float("inf")

    async def run(
        self, ask: Callable[[], Awaitable[AnswerT]], *, repeatable: bool = True
    ) -> AnswerT:
        """Await `ask` as often as the policy allows; the last error is raised."""
        tally = _Tally()
        while True:
            try:
                return await ask()
            except TransientError as error:
                # An inner loop, such as the login's, has used up its attempts already.
                if error.exhausted:
                    raise
                tally.add(error)
                error.attempts = tally.failures + tally.throttled
                if not self._may_ask_again(error, tally, repeatable=repeatable):
                    error.exhausted = True
                    raise
                await self._wait_after(error)

    def _may_ask_again(self, error: TransientError, tally: "_Tally", *, repeatable: bool) -> bool:
        if not (repeatable or error.never_sent or _is_throttled(error)):
            return False
        return (
            error.is_worth_retrying
            and tally.failures < self.policy.attempts
            and tally.throttled < self.policy.throttled_attempts
            and tally.seconds < self.budget
        )

    async def _wait_after(self, error: TransientError) -> None:
        self.counts.retries += 1
        wait = self.policy.wait_after(error, error.attempts)
        most = self.policy.throttled_attempts if _is_throttled(error) else self.policy.attempts
        logger.info(
            "%s: %s, attempt %d of %d, next in %.1f s",
            error.call_name,
            error.answered,
            error.attempts,
            most,
            wait,
        )
        if _is_throttled(error):
            self.cool_down(wait)
        elif wait > 0:
            await self.clock.sleep(wait)


@dataclass
class _Tally:
    """Attempts of one call that came to nothing."""

    failures: int = 0
    throttled: int = 0
    seconds: float = 0.0

    def add(self, error: TransientError) -> None:
        self.seconds += error.seconds
        # Retry-After: 0 invites an endless repetition at once: it counts as a failure.
        if _is_throttled(error) and error.retry_after != 0:
            self.throttled += 1
        else:
            self.failures += 1


def _is_throttled(error: TransientError) -> bool:
    return isinstance(error, UnavailableError) and error.throttled


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from `now`."""
    if text is None:
        return None
    text = text.strip()[:_LONGEST_RETRY_AFTER]
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
