"""Limits the requests in flight and the requests per second.

Every request passes the `RequestGate` of its client, also logins and retries. A token bucket would
let a full bucket through at once and exceed the limit within the first second. Here requests are
evenly spaced, and a count of the departures of the last second enforces the limit when the spacing
catches up after a late wake-up. A request on a new connection departs when it is connected.
"""

import asyncio
from bisect import bisect_left, insort
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from math import ceil
from types import TracebackType
from typing import Protocol

from lcm_pipeline.api.clocks import Clock

# How often a request that may not be sent yet checks again.
_CHECK_SECONDS = 0.5

_own_departure: ContextVar[float | None] = ContextVar("own_departure", default=None)


class Pacer:
    """Spaces requests evenly, strictly below a number per second.

    pace_share: of the limit that is used, as requests reach the server with varying delay.
    window_margin: seconds added to the counted second, for the same reason.
    catch_up: seconds of lateness that the spacing makes up for; the rest is lost.
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
        self._lock = asyncio.Lock()

    async def wait(self) -> None:
        """Return when the next request may be sent."""
        async with self._lock:
            while (remaining := self._next_departure() - self._clock.monotonic()) > 0:
                await self._clock.sleep(remaining)
            now = self._clock.monotonic()
            self._next = max(self._next, now - self.catch_up) + self._spacing
            del self._departures[: bisect_left(self._departures, now - self._window)]
            insort(self._departures, now)
            _own_departure.set(now)

    def record_connected(self) -> None:
        """Move the departure of the current task's request to now."""
        departure = _own_departure.get()
        if departure is None:
            return
        index = bisect_left(self._departures, departure)
        if index < len(self._departures) and self._departures[index] == departure:
            del self._departures[index]
        now = self._clock.monotonic()
        insort(self._departures, now)
        _own_departure.set(now)

    def _next_departure(self) -> float:
        if len(self._departures) < self._most:
            return self._next
        return max(self._next, self._departures[-self._most] + self._window)


class Slots(Protocol):
    """Slots for requests of several processes, see `sync.shared_slots`."""

    async def acquire(self) -> None:
        """Return when a request may be sent."""

    def release(self) -> None:
        """Return the slot: the request has ended."""


class RequestGate:
    """Lets a request through when a slot is free, the pace allows it and no Retry-After is pending.

    Use it as an async context manager around each request.
    """

    def __init__(self, in_flight: int, per_second: float | None, clock: Clock) -> None:
        self._clock = clock
        self._slots = asyncio.Semaphore(in_flight)
        self._pacer = Pacer(per_second, clock) if per_second is not None else None
        self._closed_until = float("-inf")
        self._may_send: Callable[[], Awaitable[bool]] | None = None
        self._wait_for_shared_pace: Callable[[], Awaitable[None]] | None = None
        self._shared_slots: Slots | None = None

    def check_before_each_request(self, may_send: Callable[[], Awaitable[bool]]) -> None:
        """Register what decides whether a request may be sent now, or has to wait; it may raise."""
        self._may_send = may_send

    def share_pace(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Register a wait for a departure time that no other process uses."""
        self._wait_for_shared_pace = wait

    def share_slots(self, slots: Slots) -> None:
        """Take one of these slots for each request, in addition to our own."""
        self._shared_slots = slots

    def cool_down(self, seconds: float) -> None:
        """Let no request through for `seconds`, as requested by the server."""
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)

    def record_connected(self) -> None:
        """Record that the current task's request got a new connection and departs now."""
        if self._pacer is not None:
            self._pacer.record_connected()

    async def yield_to_waiting(self) -> None:
        """Let tasks that wait for a slot send their requests before this one continues.

        Call it after releasing a slot and before long work. The first pass of the event loop wakes
        the waiting task, the second lets it send.
        """
        if self._slots.locked():
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        try:
            while True:
                await self._wait_for_permission()
                if self._shared_slots is not None:
                    await self._shared_slots.acquire()
                if await self._wait_for_turn():
                    return
        except BaseException:
            self._slots.release()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._slots.release()
        if self._shared_slots is not None:
            self._shared_slots.release()

    async def _wait_for_permission(self) -> None:
        """Wait for whatever may take long, without one of the slots that processes share.

        A push waits for the end of a sync, which needs the slots to get there.
        """
        while True:
            while (remaining := self._closed_until - self._clock.monotonic()) > 0:
                await self._clock.sleep(remaining)
            if self._may_send is None or await self._may_send():
                return
            await self._clock.sleep(_CHECK_SECONDS)

    async def _wait_for_turn(self) -> bool:
        """Wait for a departure time; False if it must not be used: the shared slot is released."""
        is_used = False
        try:
            # Check again, as the wait for the slot may have taken long. Before the pacing, which
            # spaces out the requests that are released here at the same time.
            if (
                self._shared_slots is not None
                and self._may_send is not None
                and not await self._may_send()
            ):
                return False
            if self._wait_for_shared_pace is not None:
                await self._wait_for_shared_pace()
                # The wait may have taken long: check again whether the request may still leave.
                reached = self._clock.monotonic()
                if self._may_send is not None and (
                    not await self._may_send() or self._clock.monotonic() - reached > Pacer.catch_up
                ):
                    return False
            if self._pacer is not None:
                await self._pacer.wait()
            is_used = self._closed_until <= self._clock.monotonic()
        finally:
            if not is_used and self._shared_slots is not None:
                self._shared_slots.release()
        return is_used
