"""LCM_MAX_RPS over all processes: each request leaves at a moment that nobody else has.

Moments are reserved in the warehouse, a few at a time and only for requests that wait. So a process
that has nothing to send takes nothing from the others, and what is lost with one that dies is a
fraction of a second.
The gate of each process still holds its own requests under the cap, see `api.rate_limit`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from lcm_pipeline.api.client import SYSTEM_CLOCK
from lcm_pipeline.api.rate_limit import Pacer
from lcm_pipeline.api.retries import Clock
from lcm_pipeline.sync.threads import run_in_thread

# Reserved at once, in seconds of the cap: little is lost with a process, and the warehouse is asked
# a few times a second.
_RESERVED_SECONDS = 0.2

Reserve = Callable[[float, int], float]


@dataclass
class SharedPace:
    """Lets requests of this process leave at reserved moments.

    reserve: reserves moments, given the seconds between two and their number; returns the seconds
    to the first. per_second: the cap. A moment that has passed, as the process was held up, is not
    used: its request would leave together with that of the next.
    """

    reserve: Reserve
    per_second: float
    clock: Clock = SYSTEM_CLOCK
    _moments: deque[float] = field(default_factory=deque, init=False)
    _waiting: int = field(default=0, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def wait(self) -> None:
        """Return when the next request may leave."""
        self._waiting += 1
        try:
            async with self._turn:
                moment = await self._next_moment()
                await self.clock.sleep(max(0.0, moment - self.clock.monotonic()))
        finally:
            self._waiting -= 1

    async def _next_moment(self) -> float:
        while True:
            while self._moments:
                moment = self._moments.popleft()
                if moment >= self.clock.monotonic() - Pacer.catch_up:
                    return moment
            await self._reserve()

    async def _reserve(self) -> None:
        spacing = 1.0 / (self.per_second * Pacer.pace_share)
        most = max(1, int(_RESERVED_SECONDS * self.per_second))
        count = min(self._waiting, most)
        delay = await run_in_thread(partial(self.reserve, spacing, count))
        first = self.clock.monotonic() + delay
        self._moments.extend(first + number * spacing for number in range(count))
