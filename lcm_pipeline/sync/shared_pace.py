"""LCM_MAX_RPS over all processes: each request leaves at a moment reserved for it alone.

Moments are reserved in the warehouse, a few at a time and only for waiting requests. So an idle
process takes nothing from the others, and a process that dies wastes a fraction of a second.
The next ones are reserved shortly before the last are used, so that no moment passes meanwhile.
The gate of each process still keeps its own requests under the cap, see `api.rate_limit`.
No maintained library does this: those that are strict over processes (pyrate-limiter) query their
store for each request, and none has priorities.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from lcm_pipeline.api.clocks import SYSTEM_CLOCK, Clock
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.warehouse.request_limits import Reservation

# Reserved at once, in seconds of the cap, by priority: a process that dies wastes little, and the
# warehouse is queried a few times a second. A lower priority reserves less at once, since a higher
# one has to wait for what is already reserved.
_RESERVED_SECONDS = (0.2, 0.1, 0.05)
# The share of the cap that is used: requests reach the server with a varying delay. With this
# margin, a second in which each is late by up to the given time still holds no more than the cap.
PACE_SHARE = 0.95
_MAX_LATE_SECONDS = 0.03
# How often a lower priority checks whether a higher one still waits.
_CHECK_SECONDS = 0.1
# Clocks drift by some ten microseconds a second.
_CLOCK_SECONDS = 30.0
_DRIFT_SECONDS = 0.001
_MAX_AHEAD_SECONDS = 5.0

# Arguments: seconds between two requests, how many, whether more are waiting, and how many seconds
# from now the first may leave at the earliest.
Reserve = Callable[[float, int, bool, float], Reservation]


@dataclass
class SharedPace:
    """Lets requests of this process leave at reserved moments.

    per_second: the cap. priority: 0 goes first. A moment that has passed because the process was
    delayed is not used: its request would leave together with those of others.
    """

    reserve: Reserve
    per_second: float
    clock: Clock = SYSTEM_CLOCK
    priority: int = 0
    _moments: deque[float] = field(default_factory=deque, init=False)
    # Requests without a moment.
    _waiting: int = field(default=0, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    # How far the server's clock is ahead of ours; the uncertainty of that; when it was measured.
    _ahead: tuple[float, float, float] = field(default=(0.0, math.inf, 0.0), init=False)
    # How long the last reservation took; its last moment.
    _took: float = field(default=0.0, init=False)
    _last: float = field(default=-math.inf, init=False)

    async def wait(self) -> None:
        """Return when the next request may leave."""
        while True:
            moment = await self._next_moment()
            await self.clock.sleep(max(0.0, moment - self.clock.monotonic()))
            if self.clock.monotonic() - moment <= _MAX_LATE_SECONDS:
                return

    async def _next_moment(self) -> float:
        self._waiting += 1
        try:
            async with self._lock:
                while True:
                    while self._moments:
                        moment = self._moments.popleft()
                        if self.clock.monotonic() - moment <= _MAX_LATE_SECONDS:
                            return moment
                    await self._reserve()
        finally:
            self._waiting -= 1

    async def _reserve(self) -> None:
        # Over a slow connection, a moment that is free now would have passed before we learn of it.
        # With a single request waiting, every moment would be missed, and it would never be sent.
        earliest = min(self._took, _MAX_AHEAD_SECONDS)
        # Requests sleep until their moments, so the next reservation is made meanwhile. The server
        # adds `earliest` to the time at which it is asked.
        await self.clock.sleep(max(0.0, self._last - 2 * earliest - self.clock.monotonic()))
        spacing = 1.0 / (self.per_second * PACE_SHARE)
        most = max(1, int(_RESERVED_SECONDS[self.priority] * self.per_second))
        count = min(self._waiting, most)
        began = self.clock.monotonic()
        reserved = await run_in_thread(
            partial(self.reserve, spacing, count, self._waiting > count, earliest)
        )
        ended = self.clock.monotonic()
        self._took = ended - began
        self._compare_clocks(reserved.now_at, began, ended)
        if reserved.first_at is None:
            await self.clock.sleep(_CHECK_SECONDS)
            return
        first = reserved.first_at - self._ahead[0]
        self._moments.extend(first + number * spacing for number in range(count))
        self._last = self._moments[-1]

    def _compare_clocks(self, now_at: float, began: float, ended: float) -> None:
        """Estimate the server's clock from the quickest recent response.

        The server read its clock between the two moments. A slow response is imprecise, and would
        shift the moments of this process relative to those of others. An estimate that contradicts
        the response is given up: a clock was set, or our monotonic clock stood still while the
        machine was suspended.
        """
        ahead, doubt, found = self._ahead
        margin = doubt / 2 + _DRIFT_SECONDS
        is_possible = now_at - ended - margin <= ahead <= now_at - began + margin
        if ended - began <= doubt or ended - found > _CLOCK_SECONDS or not is_possible:
            self._ahead = (now_at - (began + ended) / 2, ended - began, ended)
