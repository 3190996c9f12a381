"""Retries: which requests, how often, and after how long.

Reads may always be retried, a write only when the server cannot have received it. Throttling (HTTP
429) is not a fault of the request, so many more attempts are allowed for it than for failures.
Waiting goes through a `Clock`, so tests do not sleep.
"""

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from lcm_pipeline.api.clocks import Clock, unix_time
from lcm_pipeline.api.errors import TransientError

logger = logging.getLogger(__name__)

# Seconds that a server's Retry-After is followed for; it may ask for years.
LONGEST_RETRY_AFTER = 60.0
# Characters: longer than any HTTP date.
_LONGEST_HEADER = 64
# Seconds between two lines about retries: an unreachable server causes thousands of them.
_LINE_SPACING = 1.0
# Seconds between two warnings of a longer Retry-After: all requests in flight get it.
_WARNING_SPACING = 600.0

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential back-off with jitter. Times are in seconds.

    attempts: for failures. throttled_attempts: for HTTP 429.
    """

    attempts: int = 6
    throttled_attempts: int = 20
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_retry_after: float = LONGEST_RETRY_AFTER

    def wait_after(self, error: TransientError, attempt: int) -> float:
        """Seconds to wait after an attempt, counted from 1."""
        if error.retry_after is not None:
            return min(error.retry_after, self.longest_retry_after)
        ceiling = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt - 1, 20))
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311


@dataclass
class RequestCounts:
    """Numbers of requests sent, and of retries among them."""

    requests: int = 0
    retries: int = 0


@dataclass
class LogThrottle:
    """Keeps lines of the log some seconds apart; one object for all copies of a Retrier."""

    seconds: float
    last: float = float("-inf")

    def try_pass(self, now: float) -> bool:
        """Return whether a line may be logged now; if so, the next one may be after `seconds`."""
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


@dataclass
class Retrier:
    """Sends a request until it succeeds, the error is final, or the attempts are used up.

    budget: seconds that the failed requests of one call may take in total. Without it a server that
    never completes a response would block a call for as many time-outs as there are attempts.
    gives_up: whether to end a call with an error although its attempts are not used up.
    """

    policy: RetryPolicy
    clock: Clock
    counts: RequestCounts
    cool_down: Callable[[float], None]
    budget: float = float("inf")
    gives_up: Callable[[TransientError], bool] = lambda error: False
    lines: LogThrottle = field(default_factory=lambda: LogThrottle(_LINE_SPACING))
    warnings: LogThrottle = field(default_factory=lambda: LogThrottle(_WARNING_SPACING))

    async def run(
        self, send: Callable[[], Awaitable[ResultT]], *, repeatable: bool = True
    ) -> ResultT:
        """Await `send` as often as the policy allows; raises the last error.

        repeatable: the request may be sent again even if the server has received it.
        """
        tally = _Tally()
        while True:
            try:
                return await send()
            except TransientError as error:
                # An inner retry loop, such as the login's, has already used up its attempts.
                if error.exhausted:
                    raise
                tally.add(error)
                error.attempts = tally.failures + tally.throttled
                if (
                    not (repeatable or error.never_sent or error.throttled)
                    or not error.is_worth_retrying
                    or self.gives_up(error)
                    or tally.failures >= self.policy.attempts
                    or tally.throttled >= self.policy.throttled_attempts
                    or tally.seconds >= self.budget
                ):
                    error.exhausted = True
                    raise
                await self._wait_before_retry(error)

    async def _wait_before_retry(self, error: TransientError) -> None:
        self.counts.retries += 1
        wait = self.policy.wait_after(error, error.attempts)
        most = self.policy.throttled_attempts if error.throttled else self.policy.attempts
        now = self.clock.monotonic()
        if self.lines.try_pass(now):
            logger.info(
                "%s: %s, attempt %d of %d, next in %.1f s",
                error.call_name,
                error.reason,
                error.attempts,
                most,
                wait,
            )
        is_long = (error.retry_after or 0.0) > self.policy.longest_retry_after
        if is_long and self.warnings.try_pass(now):
            # Says why nothing moves, also where only warnings are shown.
            logger.warning(
                "%s: %s. Trying again every %.0f s, %d times at most; or stop with Ctrl-C, and run"
                " the same command later: what was done is kept",
                error.call_name,
                error.reason,
                wait,
                most,
            )
        if error.throttled:
            self.cool_down(wait)
        elif wait > 0:
            await self.clock.sleep(wait)


@dataclass
class _Tally:
    """Failed attempts of one call."""

    failures: int = 0
    throttled: int = 0
    seconds: float = 0.0

    def add(self, error: TransientError) -> None:
        self.seconds += error.seconds
        # A server that sends Retry-After: 0 would be called 20 times without a pause: count it as a
        # failure, of which fewer are allowed.
        if error.throttled and error.retry_after != 0:
            self.throttled += 1
        else:
            self.failures += 1


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Parse a Retry-After header (seconds or an HTTP date) to seconds from `now`."""
    if text is None:
        return None
    text = text.strip()[:_LONGEST_HEADER]
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    moment = unix_time(text)
    return None if moment is None else max(0.0, moment - now)
