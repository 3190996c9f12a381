"""A process sends no request for which it may have no slot of LCM_MAX_IN_FLIGHT any more."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest

from lcm_pipeline.sync.shared_slots import SharedSlots
from tests.waiting import PATIENCE


async def _can_begin(slots: SharedSlots, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await slots.acquire()
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def _with_two_in_flight(share: Callable[[int, int], int]) -> AsyncIterator[SharedSlots]:
    slots = SharedSlots(share, every_seconds=0.01, certain_seconds=0.2)
    async with slots.sharing():
        await slots.acquire()
        await slots.acquire()
        yield slots


def test_no_request_begins_while_the_warehouse_is_unreachable() -> None:
    """Other processes are given the slots of a lost session at once."""
    is_reachable = threading.Event()
    is_reachable.set()

    def share(wanted: int, in_flight: int) -> int:
        assert is_reachable.wait(PATIENCE)
        return min(wanted, 2)

    async def main() -> None:
        async with _with_two_in_flight(share) as slots:
            is_reachable.clear()
            await asyncio.sleep(0.5)
            slots.release()
            assert not await _can_begin(slots, 0.3)
            is_reachable.set()
            assert await _can_begin(slots, 60)

    asyncio.run(main())


def test_a_process_that_was_stopped_reports_before_it_sends() -> None:
    shared: list[int] = []

    def share(wanted: int, in_flight: int) -> int:
        shared.append(in_flight)
        return 2

    async def main() -> None:
        async with _with_two_in_flight(share) as slots:
            # As by SIGSTOP: nothing of the process runs.
            time.sleep(0.5)  # noqa: ASYNC251 - the event loop too
            reports = len(shared)
            slots.release()
            assert await _can_begin(slots, 60)
            assert len(shared) > reports

    asyncio.run(main())


def test_no_request_begins_once_the_warehouse_has_failed() -> None:
    is_lost = threading.Event()

    def share(wanted: int, in_flight: int) -> int:
        if is_lost.is_set():
            raise psycopg.OperationalError("the server is gone")
        return 2

    async def main() -> None:
        async with _with_two_in_flight(share) as slots:
            is_lost.set()
            await asyncio.sleep(0.1)
            slots.release()
            with pytest.raises(psycopg.OperationalError):
                await slots.acquire()

    asyncio.run(main())
