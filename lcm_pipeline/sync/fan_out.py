"""The fan-out: many tasks read concurrently, each saved before its slot is released.

A task holds its slot until its rows are committed. So a killed process repeats at most
LCM_CONCURRENCY readings, over all feeds that share the slots, and memory holds only those readings
and one chunk of tasks per feed, whatever the size of the roster.

An error of `read` stops everything: see `service_monitor` for a `read` that fails one task alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from lcm_pipeline.model.tasks import Outcome, Task
from lcm_pipeline.sync.errors import RESUME, Advice, SyncError
from lcm_pipeline.sync.gathering import cancel_all
from lcm_pipeline.sync.threads import run_in_thread

Read = Callable[[Task], Awaitable[Outcome]]
# Returns the outcomes that could not be stored, each replaced by a failure.
Record = Callable[[Sequence[Outcome]], Sequence[Outcome]]
Chunks = Iterator[Sequence[Task]]

# Long enough to batch outcomes that arrive together, short compared with the latency of a call.
_LINGER_SECONDS = 0.004
_MIN_BATCH = 16
# Consecutive failures that suggest an outage. With a higher concurrency, that many: when an outage
# begins, every request in flight fails.
OUTAGE_FAILURES = 8


class _FinishedTask(NamedTuple):
    outcome: Outcome
    is_saved: asyncio.Future[None]


@dataclass
class FanOut:
    """Reads tasks, at most `concurrency` at a time, and records their outcomes in batches.

    read: an error that it raises stops all. slots: shared with other feeds; None for slots of its
    own. on_all_dispatched: called once no task is left to begin. advice: the end of the message of
    SyncError.
    """

    read: Read
    record: Record
    concurrency: int
    slots: asyncio.Semaphore | None = None
    on_all_dispatched: Callable[[], None] = lambda: None
    advice: Advice = RESUME
    _consecutive_unstored: int = field(default=0, init=False)

    async def run(self, chunks: Chunks) -> None:
        """Read all tasks. Raises what `read` raises, and SyncError when nothing can be stored."""
        finished: asyncio.Queue[_FinishedTask] = asyncio.Queue()
        supply = _Supply(chunks)
        writer = asyncio.create_task(self._write(finished))
        slots = self.slots or asyncio.Semaphore(self.concurrency)
        readers = [
            asyncio.create_task(self._work(supply, slots, finished))
            for _ in range(self.concurrency)
        ]
        everything = asyncio.gather(*readers)
        try:
            either: set[asyncio.Future[Any]] = {everything, writer}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if writer.done():
                writer.result()
            await everything
        finally:
            await cancel_all([*readers, writer, everything])

    async def _work(
        self, supply: "_Supply", slots: asyncio.Semaphore, finished: asyncio.Queue[_FinishedTask]
    ) -> None:
        while True:
            async with slots:
                task = await supply.take()
                if task is None:
                    self.on_all_dispatched()
                    return
                outcome = await self.read(task)
                is_saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                finished.put_nowait(_FinishedTask(outcome, is_saved))
                await is_saved

    async def _write(self, finished: asyncio.Queue[_FinishedTask]) -> None:
        # A batch takes half of the slots at most, so that the other half sends requests meanwhile.
        # Batches of all slots alternate between an idle network and an idle processor.
        half = self.concurrency // 2
        most = max(_MIN_BATCH, half)
        while True:
            batch = [await finished.get()]
            if len(batch) + finished.qsize() < half:
                await asyncio.sleep(_LINGER_SECONDS)
            while len(batch) < most and not finished.empty():
                batch.append(finished.get_nowait())
            await run_in_thread(partial(self._save, batch, asyncio.get_running_loop()))

    def _save(self, batch: Sequence[_FinishedTask], loop: asyncio.AbstractEventLoop) -> None:
        outcomes = [item.outcome for item in batch]
        unstored = self.record(outcomes)
        stored = sum(outcome.status == "done" for outcome in outcomes) - len(unstored)
        self._consecutive_unstored = 0 if stored > 0 else self._consecutive_unstored + len(unstored)
        if self._consecutive_unstored >= max(OUTAGE_FAILURES, self.concurrency):
            raise SyncError(
                f"the warehouse rejects all that was read: {unstored[-1].error}."
                f" {self.advice.kept}: {self.advice.next_step}"
            )
        # Release the slots from this thread: waiting for the writer task to resume first would cost
        # the readers two iterations of the event loop.
        loop.call_soon_threadsafe(_release, batch)


class _Supply:
    """The tasks of all chunks, one by one; chunks are fetched in a thread while requests go on."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._current: Iterator[Task] = iter(())
        self._lock = asyncio.Lock()

    async def take(self) -> Task | None:
        async with self._lock:
            while (task := next(self._current, None)) is None:
                chunk = await run_in_thread(partial(next, self._chunks, None))
                if chunk is None:
                    return None
                self._current = iter(chunk)
        return task


def _release(batch: Sequence[_FinishedTask]) -> None:
    for item in batch:
        if not item.is_saved.done():
            item.is_saved.set_result(None)
