"""The fan-out: many readings in flight, each saved before its place is given to the next.

A reading holds its place until its rows are committed, so a killed process has to ask again for
at most LCM_CONCURRENCY readings, of all feeds that share the places. Memory holds those and one
chunk of assignments per feed, whatever the size of the roster.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from lcm_pipeline.loyalty_api.errors import (
    ForbiddenError,
    IdentityError,
    LoyaltyApiError,
    RequestError,
    TransientError,
)
from lcm_pipeline.model.readings import Assignment, FetchStatus, Outcome
from lcm_pipeline.sync.errors import SyncFailed
from lcm_pipeline.sync.reading import Unproven
from lcm_pipeline.sync.threads import in_thread

Read = Callable[[Assignment], Awaitable[Outcome]]
Record = Callable[[Sequence[Outcome]], None]
Chunks = Iterator[Sequence[Assignment]]

# Long enough to gather outcomes that arrive together, short against the latency of a call.
_LINGER_SECONDS = 0.004
_WORTH_A_SAVE = 16
_FEWEST_FAILURES = 8


class _Finished(NamedTuple):
    outcome: Outcome
    is_saved: asyncio.Future[None]


@dataclass
class FanOut:
    """Reads assignments, at most `width` in flight, and records their outcomes in batches.

    places: shared with others; None for `width` of its own.
    has_succeeded: the service answered this run before, so what it refuses is about one client.
    on_handed_out: called when nothing is left to begin with.
    advice: what to do when the service gives no answer, for the message of SyncFailed.
    """

    read: Read
    record: Record
    width: int
    places: asyncio.Semaphore | None = None
    has_succeeded: bool = False
    on_handed_out: Callable[[], None] = lambda: None
    advice: str = "What was read is kept: run the same command again to go on"
    _failures_in_a_row: int = field(default=0, init=False)
    _last_failure: str = field(default="", init=False)

    async def run(self, chunks: Chunks) -> None:
        """Read everything; raises SyncFailed when going on makes no sense."""
        finished: asyncio.Queue[_Finished] = asyncio.Queue()
        supply = _Supply(chunks)
        writer = asyncio.create_task(self._write(finished))
        places = self.places or asyncio.Semaphore(self.width)
        readers = [
            asyncio.create_task(self._work(supply, places, finished)) for _ in range(self.width)
        ]
        everything = asyncio.gather(*readers)
        try:
            either: set[asyncio.Future[Any]] = {everything, writer}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if writer.done():
                writer.result()
            await everything
        finally:
            await _stop([*readers, writer, everything])
        if self._failures_in_a_row and not self.has_succeeded:
            raise SyncFailed(self._last_failure)

    async def _work(
        self, supply: "_Supply", places: asyncio.Semaphore, finished: asyncio.Queue[_Finished]
    ) -> None:
        while True:
            async with places:
                assignment = await supply.take()
                if assignment is None:
                    self.on_handed_out()
                    return
                outcome = await self._read_one(assignment)
                is_saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                finished.put_nowait(_Finished(outcome, is_saved))
                await is_saved

    async def _read_one(self, assignment: Assignment) -> Outcome:
        try:
            outcome = await self.read(assignment)
        except Unproven as verdict:
            return _unsuccessful(assignment, "unproven", str(verdict))
        except (IdentityError, ForbiddenError, RequestError) as error:
            raise SyncFailed(str(error)) from error
        except LoyaltyApiError as error:
            self._count_failure(error)
            return _unsuccessful(assignment, "failed", str(error))
        self._failures_in_a_row, self.has_succeeded = 0, True
        return outcome

    def _count_failure(self, error: LoyaltyApiError) -> None:
        """Give up when call after call fails in a way that is not about one client.

        Refusals are about one client once another has succeeded; before that they are about us.
        """
        if not isinstance(error, TransientError) and self.has_succeeded:
            return
        self._failures_in_a_row += 1
        self._last_failure = f"the service gives no answer that can be used: {error}. {self.advice}"
        if self._failures_in_a_row >= max(_FEWEST_FAILURES, self.width):
            raise SyncFailed(self._last_failure) from error

    async def _write(self, finished: asyncio.Queue[_Finished]) -> None:
        # One save takes half of the places, so that the others are asking meanwhile: were it all of
        # them, the wire would be idle while they are saved, and the processor while they all ask.
        half = self.width // 2
        most = max(_WORTH_A_SAVE, half)
        while True:
            batch = [await finished.get()]
            if len(batch) + finished.qsize() < half:
                await asyncio.sleep(_LINGER_SECONDS)
            while len(batch) < most and not finished.empty():
                batch.append(finished.get_nowait())
            await in_thread(partial(self._save, batch, asyncio.get_running_loop()))

    def _save(self, batch: Sequence[_Finished], loop: asyncio.AbstractEventLoop) -> None:
        self.record([item.outcome for item in batch])
        # From here: they go on two turns of the loop before the writer does.
        loop.call_soon_threadsafe(_give_back, batch)


class _Supply:
    """The assignments of all chunks, one by one; a chunk is fetched while calls go on."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._current: Iterator[Assignment] = iter(())
        self._lock = asyncio.Lock()

    async def take(self) -> Assignment | None:
        async with self._lock:
            while (assignment := next(self._current, None)) is None:
                chunk = await in_thread(partial(next, self._chunks, None))
                if chunk is None:
                    return None
                self._current = iter(chunk)
        return assignment


def _give_back(batch: Sequence[_Finished]) -> None:
    for item in batch:
        if not item.is_saved.done():
            item.is_saved.set_result(None)


def _unsuccessful(assignment: Assignment, status: FetchStatus, reason: str) -> Outcome:
    return Outcome(assignment, status, datetime.now(UTC), error=reason)


async def _stop(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
