"""LCM_MAX_IN_FLIGHT over all processes: a request takes a slot that this process holds.

The slots are distributed in the warehouse, a few times a second while a process wants more than it
holds, and belong to it for as long as its session lives; see `warehouse.request_limits`. In
between, a request costs the warehouse nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.warehouse.request_limits import MAX_SILENT_SECONDS

_SOON_SECONDS = 0.02

Share = Callable[[int, int], int]


@dataclass
class SharedSlots:
    """The slots of this process.

    share: reports the slots wanted and in flight to the warehouse, and returns how many requests
    may be in flight from then on. If more are, none begins until enough of them have ended.
    every_seconds: how often slots change hands; also how long a process holds one that it does not
    use. certain_seconds: without a report for so long, other processes may have been given our
    slots, as the connection to the warehouse is lost, or this process was stopped for a while.
    """

    share: Share
    every_seconds: float = 0.2
    certain_seconds: float = 2.0
    _allowed: int = field(default=0, init=False)
    # What the warehouse counts as ours: no less than was in flight when that was reported.
    _held: int = field(default=0, init=False)
    _in_flight: int = field(default=0, init=False)
    _most_wanted: int = field(default=0, init=False)
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque, init=False)
    _has_waiting: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _error: Exception | None = field(default=None, init=False)
    # When the warehouse last responded to a report.
    _reported: float = field(default=0.0, init=False)

    @asynccontextmanager
    async def sharing(self) -> AsyncIterator[None]:
        """Share slots with other processes while the context is open."""
        task = asyncio.ensure_future(self._share_periodically())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def acquire(self) -> None:
        """Return when a request may be sent; raises the error of `share` when that failed."""
        self._record_wanted(1)
        while self._in_flight >= self._allowed or not self._is_certain:
            if self._error is not None:
                raise self._error
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            self._has_waiting.set()
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
                else:
                    self._wake()
                raise
        self._in_flight += 1

    def release(self) -> None:
        """The request has ended."""
        self._in_flight -= 1
        self._wake()

    @property
    def _is_certain(self) -> bool:
        return time.monotonic() - self._reported <= self.certain_seconds

    def _record_wanted(self, more: int) -> None:
        wanted = self._in_flight + len(self._waiting) + more
        self._most_wanted = max(self._most_wanted, wanted)

    def _wake(self) -> None:
        if not self._is_certain:
            # The next report wakes them.
            return
        free = self._allowed - self._in_flight
        while self._waiting and free > 0:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                free -= 1

    async def _share_periodically(self) -> None:
        try:
            while True:
                await self._share_once()
                if self._waiting:
                    await asyncio.sleep(self.every_seconds)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.every_seconds if self._held else None):
                        await self._has_waiting.wait()
                        # Count requests that begin to wait at the same moment together.
                        await asyncio.sleep(_SOON_SECONDS)
        except Exception as error:  # noqa: BLE001 - `acquire` raises it
            self._error, self._allowed = error, 0
            for waiter in self._waiting:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiting.clear()

    async def _share_once(self) -> None:
        self._record_wanted(0)
        wanted, self._most_wanted = self._most_wanted, 0
        self._has_waiting.clear()
        if wanted == 0 and self._held == 0:
            return
        # Until the warehouse responds, no more than what is in flight now: other processes may be
        # given the rest meanwhile.
        self._allowed = min(self._allowed, self._in_flight)
        in_flight = self._in_flight
        began = time.monotonic()
        self._allowed = await run_in_thread(partial(self.share, wanted, in_flight))
        if time.monotonic() - began < MAX_SILENT_SECONDS / 2:
            self._reported = time.monotonic()
        self._held = max(in_flight, self._allowed)
        self._wake()
