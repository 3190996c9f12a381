"""Limits: slots, requests per second, and pauses that the server requests."""

import asyncio
from typing import Any

import httpx
import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.clocks import Clock
from lcm_pipeline.api.rate_limit import Pacer, RequestGate
from lcm_pipeline.api.transport import MEGABYTE, Transport, open_transport
from lcm_pipeline.model.endpoints import OPERATION_HISTORY
from lcm_pipeline.model.payloads import OperationHistoryRequest
from tests.unit.api_service import FakeTime, Response, Service, connected, running

REQUEST = OperationHistoryRequest(Client=7, Start=1, Length=500)


def most_within(seconds: float, moments: list[float]) -> int:
    return max(
        sum(1 for later in moments[number:] if later < moment + seconds)
        for number, moment in enumerate(moments)
    )


async def ask_all(api: LoyaltyApi, count: int) -> None:
    await asyncio.gather(*(api.call(OPERATION_HISTORY, REQUEST) for _ in range(count)))


def test_no_more_calls_are_in_flight_than_allowed() -> None:
    service = Service(otherwise=lambda _: Response(delay=0.01))

    async def main() -> None:
        async with connected(service, concurrency=4) as api:
            await ask_all(api, 40)

    asyncio.run(main())
    assert service.most_in_flight == 4


def test_waiting_calls_send_before_responses_are_read() -> None:
    done: list[str] = []

    async def send(gate: RequestGate, name: str) -> None:
        async with gate:
            done.append(f"{name} sends")
            await asyncio.sleep(0)
        await gate.yield_to_waiting()
        done.append(f"{name} reads")

    async def main() -> None:
        gate = RequestGate(2, None, Clock())
        await asyncio.gather(*(send(gate, name) for name in "abcd"))

    asyncio.run(main())
    assert done[:4] == ["a sends", "b sends", "c sends", "d sends"]


def test_the_server_never_sees_more_requests_in_a_second_than_the_cap() -> None:
    service = Service()
    delays = [0.0]

    async def watch_delays() -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(0.005)
            delays.append(loop.time() - began)

    async def main() -> None:
        time: Any = FakeTime()
        time.clock = Clock()
        async with connected(service, time, max_rps=40.0) as api:
            watching = asyncio.create_task(watch_delays())
            await ask_all(api, 100)
            watching.cancel()

    asyncio.run(main())
    moments = [request.at for request in service.requests]
    assert len(moments) == 100
    # A busy machine reads its sockets late: by as much as it wakes up late, and 0.1 s more.
    assert most_within(max(0.01, 0.9 - 2 * max(delays)), moments) <= 40


@pytest.mark.parametrize("per_second", [0.5, 1.0, 2.5, 10.0, 333.0])
@pytest.mark.parametrize("late", [0.0, 0.004, 0.3])
def test_the_rate_is_kept_with_late_wake_ups(per_second: float, late: float) -> None:
    time = FakeTime()
    sent: list[float] = []

    async def sleep_too_long(seconds: float) -> None:
        # Every seventh wake-up is late, as under a busy event loop.
        await time.sleep(seconds + (late if len(sent) % 7 == 0 else 0.0))

    async def main() -> None:
        pacer = Pacer(per_second, Clock(monotonic=lambda: time.now, sleep=sleep_too_long))
        for _ in range(int(per_second * 20) + 5):
            await pacer.wait()
            sent.append(time.now)

    asyncio.run(main())
    window = max(1.0, 1.0 / per_second)
    cap = -(-per_second * window // 1)
    assert most_within(window, sent) <= cap
    if late < 0.01:
        assert (len(sent) - 1) / (sent[-1] - sent[0]) >= 0.95 * per_second


def test_a_new_connection_is_reported_in_the_task_that_opened_it() -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    async def main() -> None:
        async with running(Service()) as service:
            url = f"http://127.0.0.1:{service.port}/"
            transport = open_transport(2, lambda: tasks.append(asyncio.current_task()))
            wire = Transport(url, 5.0, transport, MEGABYTE)
            for _ in range(3):
                await wire.post("x", httpx.Headers(), b"{}")
            assert tasks == [asyncio.current_task()]
            await wire.aclose()

    asyncio.run(main())


def test_retries_count_against_the_cap() -> None:
    service = Service(*(Response(status=429, headers={"Retry-After": "0"}) for _ in range(5)))
    time = FakeTime()

    async def main() -> None:
        async with connected(service, time, max_rps=1.0) as api:
            await ask_all(api, 1)

    asyncio.run(main())
    assert time.now - 1_000.0 >= 5.0


def test_one_throttled_call_delays_all_others() -> None:
    time = FakeTime()
    service = Service(Response(status=429, headers={"Retry-After": "30"}))
    seen: list[float] = []

    async def main() -> None:
        async with connected(service, time, concurrency=1) as api:
            first = asyncio.create_task(api.call(OPERATION_HISTORY, REQUEST))
            await service.first_request.wait()
            await api.call(OPERATION_HISTORY, REQUEST)
            seen.append(time.now)
            await first

    asyncio.run(main())
    assert seen[0] >= 1_030.0
    assert len(service.requests) == 3


def test_a_cancelled_wait_releases_its_slot() -> None:
    async def main() -> None:
        gate = RequestGate(1, None, Clock())
        gate.cool_down(60)
        waiting = asyncio.create_task(gate.__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not gate._slots.locked()

    asyncio.run(main())


def test_a_request_that_had_to_connect_counts_from_its_connection() -> None:
    time = FakeTime()
    sent: list[float] = []

    async def main() -> None:
        pacer = Pacer(10.0, time.clock)

        async def send(connects_for: float) -> None:
            await pacer.wait()
            if connects_for:
                await time.sleep(connects_for)
                pacer.record_connected()
            sent.append(time.now)

        await send(connects_for=0.5)
        for _ in range(30):
            await send(connects_for=0.0)

    asyncio.run(main())
    assert most_within(1.0, sent) <= 10


class _SharedSlots:
    """The slots of LCM_MAX_IN_FLIGHT that are free for this process."""

    def __init__(self, free: int) -> None:
        self._free = asyncio.Semaphore(free)

    @property
    def is_none_free(self) -> bool:
        return self._free.locked()

    async def acquire(self) -> None:
        await self._free.acquire()

    def release(self) -> None:
        self._free.release()


@pytest.mark.parametrize("reason", ["a sync", "Retry-After"])
def test_a_request_that_has_to_wait_holds_no_shared_slot(reason: str) -> None:
    """A push waits until a sync has ended, which needs slots to end."""
    may_send = [True]
    sent: list[str] = []

    async def ask() -> bool:
        return may_send[0]

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        gate, slots = RequestGate(4, None, Clock(sleep=sleep)), _SharedSlots(2)
        gate.share_slots(slots)
        gate.check_before_each_request(ask)
        reached, paced = asyncio.Event(), asyncio.Event()

        async def wait_for_pace() -> None:
            reached.set()
            await paced.wait()

        gate.share_pace(wait_for_pace)

        async def send() -> None:
            async with gate:
                sent.append("update")

        requests = [asyncio.ensure_future(send()) for _ in range(4)]
        await reached.wait()
        # Two have a slot and wait for their moment when the sync begins, or HTTP 429 comes.
        if reason == "a sync":
            may_send[0] = False
        else:
            gate.cool_down(1e9)
        paced.set()
        await asyncio.sleep(0.1)
        assert not slots.is_none_free
        assert sent == []
        for request in requests:
            request.cancel()

    asyncio.run(main())
