"""Processes that share a rate reserve moments that no other process has."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from heapq import heappop, heappush
from itertools import count, pairwise
from typing import Any, TypeVar

import pytest

from lcm_pipeline.api.clocks import Clock
from lcm_pipeline.sync import shared_pace
from lcm_pipeline.sync.shared_pace import SharedPace
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.request_limits import Reservation, reserve_requests

SPACING = 0.05
ResultT = TypeVar("ResultT")
# In seconds; the clocks of machines do not agree.
SERVER_AHEAD = 1_700_000_000.0


def _reserve_often(warehouse: Warehouse, times: int, count: int) -> None:
    with warehouse.connect(autocommit=True) as session:
        for _ in range(times):
            assert reserve_requests(session, SPACING, count).first_at is not None


def test_reservations_of_many_processes_never_overlap(warehouse: Warehouse) -> None:
    """Between the first and the last moment there is one for every reservation."""
    with warehouse.connect(autocommit=True) as session:
        reserve_requests(session, SPACING, 1)
        before = session.execute("select next_at from sync.request_pace").fetchone()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _reserve_often(warehouse, 10, 3), range(4)))
    with warehouse.connect(autocommit=True) as session:
        after = session.execute("select next_at from sync.request_pace").fetchone()
    assert before is not None
    assert after is not None
    assert (after[0] - before[0]).total_seconds() >= 4 * 10 * 3 * SPACING - 1e-3


@pytest.mark.parametrize("priority", [0, 1, 2])
def test_moments_from_before_the_clock_of_the_warehouse_was_set_back_are_ignored(
    warehouse: Warehouse, priority: int
) -> None:
    with warehouse.connect(autocommit=True) as session:
        reserve_requests(session, SPACING, 1)
        # A queue of fifty processes, each with its request.
        queued = reserve_requests(session, 1.0, 50)
        after = reserve_requests(session, 1.0, 1)
        assert queued.first_at is not None
        assert after.first_at == pytest.approx(queued.first_at + 50)
        session.execute(
            "update sync.request_pace set next_at = now() + interval '3 hours',"
            " daily_until = now() + interval '3 hours', backfill_until = now() + interval '3 hours'"
        )
        first_at, now_at = reserve_requests(session, 1.0, 1, priority=priority)
        assert first_at is not None
        assert first_at - now_at < 60


class _Time:
    """A clock that advances to the end of the next sleep as soon as every task waits.

    response_seconds: how long a reservation takes after the warehouse has read its clock.
    """

    def __init__(self) -> None:
        self.now = 100.0
        self.response_seconds = 0.0
        self.clock = Clock(monotonic=lambda: self.now, sleep=self._sleep)
        self._sleeps: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    async def _sleep(self, seconds: float) -> None:
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleeps, (self.now + seconds, next(self._numbers), end))
        await end

    async def respond(self, work: Callable[[], ResultT]) -> ResultT:
        result = work()
        await self._sleep(self.response_seconds)
        return result

    def run(self, main: Coroutine[Any, Any, ResultT]) -> ResultT:
        async def advance() -> ResultT:
            task = asyncio.ensure_future(main)
            while not task.done():
                # What a sleep wakes may wake others in turn: let all of them run.
                for _ in range(20):
                    await asyncio.sleep(0)
                if self._sleeps and not task.done():
                    ends_at, _, end = heappop(self._sleeps)
                    self.now = max(self.now, ends_at)
                    end.set_result(None)
            return await task

        return asyncio.run(advance())


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> _Time:
    time = _Time()
    monkeypatch.setattr(shared_pace, "run_in_thread", time.respond)
    return time


def test_requests_leave_at_their_reserved_moments_and_reserve_no_more_than_wait(
    time: _Time,
) -> None:
    reserved: list[int] = []
    free_from = 100.5

    def reserve(spacing: float, count: int, is_more: bool, earliest: float) -> Reservation:
        nonlocal free_from
        reserved.append(count)
        first = max(free_from, time.now)
        free_from = first + spacing * count
        return Reservation(first + SERVER_AHEAD, time.now + SERVER_AHEAD)

    async def main() -> list[float]:
        pace = SharedPace(reserve, 10.0, time.clock)
        left: list[float] = []

        async def send() -> None:
            await pace.wait()
            left.append(time.now)

        await asyncio.gather(*(send() for _ in range(5)))
        return left

    left = time.run(main())
    assert left[0] >= 100.5
    gaps = [later - earlier for earlier, later in pairwise(left)]
    assert min(gaps) > 0.1
    assert sum(reserved) == 5


def test_past_moments_are_not_used(time: _Time) -> None:
    counts: list[int] = []

    def reserve(spacing: float, count: int, is_more: bool, earliest: float) -> Reservation:
        counts.append(count)
        # The first reservation is too late to be used: the process was delayed.
        late = 5.0 if len(counts) == 1 else 0.0
        return Reservation(time.now - late + SERVER_AHEAD, time.now + SERVER_AHEAD)

    async def main() -> None:
        await SharedPace(reserve, 10.0, time.clock).wait()

    time.run(main())
    assert len(counts) == 2


def test_a_request_of_low_priority_waits_until_it_is_allowed(time: _Time) -> None:
    offers = [None, None, 0.0]

    def reserve(spacing: float, count: int, is_more: bool, earliest: float) -> Reservation:
        first = offers.pop(0)
        return Reservation(None if first is None else time.now, time.now)

    time.run(SharedPace(reserve, 10.0, time.clock, priority=1).wait())
    assert not offers
    assert time.now > 100.0


class _Server:
    """Reserves moments; its clock is ahead of that of the processes."""

    def __init__(self, time: _Time) -> None:
        self.time = time
        self.ahead = SERVER_AHEAD
        self.reservations = 0
        self._free_from = 0.0

    def reserve(self, spacing: float, count: int, is_more: bool, earliest: float) -> Reservation:
        self.reservations += 1
        assert self.reservations < 1000, "no moment is ever used"
        now = self.time.now + self.ahead
        first = max(self._free_from, now + earliest)
        self._free_from = first + spacing * count
        return Reservation(first, now)


def test_a_single_request_leaves_although_the_warehouse_is_far_away(time: _Time) -> None:
    """Each moment that is free at once has passed before the process learns of it."""
    time.response_seconds = 0.2
    server = _Server(time)

    async def main() -> None:
        pace = SharedPace(server.reserve, 100.0, time.clock)
        for _ in range(3):
            await pace.wait()

    time.run(main())
    # Only the first moment is lost: how long a reservation takes is not known before.
    assert server.reservations == 4


def test_no_moment_is_earlier_than_its_process_can_use_it(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as session:
        for _ in range(2):
            reserved = reserve_requests(session, 0.01, 1, earliest=0.5)
            assert reserved.first_at is not None
            assert reserved.first_at > reserved.now_at + 0.4
        # Nobody waits because of that: a lower priority is allowed.
        assert reserve_requests(session, 0.01, 1, priority=2, earliest=0.6).first_at is not None


def test_a_process_that_was_suspended_does_not_wait_as_long_again(time: _Time) -> None:
    """The monotonic clock stands still while the machine is suspended, unlike the server's."""
    time.response_seconds = 0.001
    server = _Server(time)

    async def main() -> None:
        pace = SharedPace(server.reserve, 100.0, time.clock)
        await pace.wait()
        server.ahead += 3600
        time.response_seconds = 0.002
        await pace.wait()

    time.run(main())
    assert time.now < 110


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("priority", [0, 1])
def test_the_cap_is_used_although_the_warehouse_is_far_away(
    time: _Time, processes: int, priority: int
) -> None:
    """The next moments are reserved before the last ones are used."""
    time.response_seconds = 0.08
    server = _Server(time)
    seconds = 10

    async def main() -> list[float]:
        end, left = time.now + seconds, list[float]()

        async def send_until_the_end(pace: SharedPace) -> None:
            while time.now < end:
                await pace.wait()
                left.append(time.now)
                await time.clock.sleep(0.05)

        paces = [SharedPace(server.reserve, 100.0, time.clock, priority) for _ in range(processes)]
        await asyncio.gather(*(send_until_the_end(pace) for pace in paces for _ in range(30)))
        return left

    left = time.run(main())
    assert len(left) >= 0.9 * 100 * seconds
    assert max(sum(1 for other in left if 0 <= other - one < 1) for one in left) <= 100
