"""How many requests are in flight, and how many are sent in a second.

Every request passes the one `RequestGate` of its client, logins and retries too. A
token bucket lets a full bucket through at once and so exceeds the cap within its first second;
here the requests are spaced out, and a count of the last second's departures guards the cap when
the spacing had to catch up after a late wake-up. A request that first had to connect departs when
it is connected.
"""

import asyncio
from bisect import bisect_left, insort
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from math import ceil
from types import TracebackType
from typing import Protocol

from lcm_pipeline.api.retries import Clock

_own_departure: ContextVar[float | None] = ContextVar("own_departure", default=None)


class Pacer:
    """Spaces requests evenly, strictly below a number per second.

    Requests reach the server with varying delay, so the pace stays a little under the cap.
    """

    pace_share = 0.965
    window_margin = 0.03
    catch_up = 0.02

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._clock = clock
        self._spacing = 1.0 / (per_second * self.pace_share)
        self._most = max(1, ceil(per_second))
        self._window = self._most / per_second + self.window_margin
        self._departures: list[float] = []  # of the last window, sorted
        self._next = 0.0
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Return when the next request may be sent."""
        async with self._turn:
            while (remaining := self._earliest() - self._clock.monotonic()) > 0:
                await self._clock.sleep(remaining)
            now = self._clock.monotonic()
            self._next = max(self._next, now - self.catch_up) + self._spacing
            del self._departures[: bisect_left(self._departures, now - self._window)]
            insort(self._departures, now)
            _own_departure.set(now)

    def record_connected(self) -> None:
        """Count the request of the current task as departing only now."""
        noted = _own_departure.get()
        if noted is None:
            return
        index = bisect_left(self._departures, noted)
        if index < len(self._departures) and self._departures[index] == noted:
            del self._departures[index]
        now = self._clock.monotonic()
        insort(self._departures, now)
        _own_departure.set(now)

    def _earliest(self) -> float:
        if len(self._departures) < self._most:
            return self._next
        return max(self._next, self._departures[-self._most] + self._window)


class SlotsOfAll(Protocol):
    """Slots that requests of several processes take, see `sync.shared_slots`."""

    async def acquire(self) -> None:
        """Return when a request may be sent."""

    def release(self) -> None:
        """The request has ended."""


class RequestGate:
    """Lets a request through when a place in flight, the pace and the server's wishes allow it."""

    def __init__(self, in_flight: int, per_second: float | None, clock: Clock) -> None:
        self._clock = clock
        self._slots = asyncio.Semaphore(in_flight)
        self._pacer = Pacer(per_second, clock) if per_second is not None else None
        self._closed_until = float("-inf")
        self._before_request: Callable[[], Awaitable[None]] | None = None
        self._wait_for_all: Callable[[], Awaitable[None]] | None = None
        self._slots_of_all: SlotsOfAll | None = None

    def before_each(self, before_request: Callable[[], Awaitable[None]]) -> None:
        """Await this before each request, right before its pacing; it may wait, or raise."""
        self._before_request = before_request

    def share_pace(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Await this before each request: it waits for a moment that no other process has."""
        self._wait_for_all = wait

    def share_slots(self, slots: SlotsOfAll) -> None:
        """Take one of these for each request, besides the own ones."""
        self._slots_of_all = slots

    def cool_down(self, seconds: float) -> None:
        """Let nothing through for so long: the server asked everyone to wait."""
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)

    def record_connected(self) -> None:
        """Record that the current task's request got a new connection and departs now."""
        if self._pacer is not None:
            self._pacer.record_connected()

    async def yield_to_waiting(self) -> None:
        """Let those who wait for a place send their requests before this task goes on.

        For who gave its place back just now and has much to do: it is not free only where somebody
        waits. They send in the first of the two turns.
        """
        if self._slots.locked():
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        has_slot_of_all = False
        try:
            if self._slots_of_all is not None:
                await self._slots_of_all.acquire()
                has_slot_of_all = True
            await self._wait_for_turn()
        except BaseException:
            self._slots.release()
            if has_slot_of_all and self._slots_of_all is not None:
                self._slots_of_all.release()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._slots.release()
        if self._slots_of_all is not None:
            self._slots_of_all.release()

    async def _wait_for_turn(self) -> None:
        while True:
            await self._wait_until_open()
            # Before the pacing, so that those who waited here together are spaced out.
            if self._before_request is not None:
                await self._before_request()
            if self._wait_for_all is not None and not await self._has_moment():
                continue
            if self._pacer is not None:
                await self._pacer.wait()
            if self._closed_until <= self._clock.monotonic():
                return

    async def _has_moment(self) -> bool:
        """Wait for a moment that no other process has; False when it passed meanwhile."""
        assert self._wait_for_all is not None  # noqa: S101 - the caller has looked
        await self._wait_for_all()
        if self._before_request is None:
            return True
        # What it allowed may have changed while the request waited for its moment.
        reached = self._clock.monotonic()
        await self._before_request()
        return self._clock.monotonic() - reached <= Pacer.catch_up

    async def _wait_until_open(self) -> None:
        while (remaining := self._closed_until - self._clock.monotonic()) > 0:
            await self._clock.sleep(remaining)
