"""The fan-out: many readings in flight, each saved before its place is given to the next.

A reading holds its place until its rows are committed, so a killed process has to ask again for
at most LCM_CONCURRENCY readings, of all feeds that share the places. Memory holds those and one
chunk of assignments per feed, whatever the size of the roster.

Whatever one answer holds, and whatever exception it raises, it costs that client (or day) and
nobody else: `_read_one` is the one boundary. What looks like an outage is told from clients that
are refused for good by asking for others before the feed stops, see `_check_service`.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from lcm_pipeline.api.errors import (
    IdentityError,
    LoyaltyApiError,
    RejectedError,
    TransientError,
)
from lcm_pipeline.api.identity import LOGIN_PATH
from lcm_pipeline.model.readings import Outcome, Task, TaskStatus
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.pages import any_true
from lcm_pipeline.sync.threads import run_in_thread

Read = Callable[[Task], Awaitable[Outcome]]
# Returns the outcomes that could not be stored, as the failures that stand in their place.
Record = Callable[[Sequence[Outcome]], Sequence[Outcome]]
Chunks = Iterator[Sequence[Task]]
FindOthers = Callable[[], Awaitable[Sequence[Task]]]

logger = logging.getLogger(__name__)

# Long enough to gather outcomes that arrive together, short against the latency of a call.
_LINGER_SECONDS = 0.004
_WORTH_A_SAVE = 16
# So many failures in a row look like an outage, or as many as are in flight when it begins.
_FEWEST_FAILURES = 8
# So many refusals look like a wrong token or address, while nothing was answered yet.
_FEWEST_REFUSALS = 3


class _Finished(NamedTuple):
    outcome: Outcome
    is_saved: asyncio.Future[None]


@dataclass
class FanOut:
    """Reads assignments, at most `width` in flight, and records their outcomes in batches.

    places: shared with others; None for `width` of its own.
    has_succeeded: the service answered this run before, so what it refuses is about one client.
    on_all_dispatched: called when nothing is left to begin with.
    find_others: names a few that the service should answer for, to be asked before the feed stops.
    answers_elsewhere: whether the service answers for something else, so that this feed is to be
    left as it is: what was not asked yet counts as failed. None where that is no reason to go on.
    advice: what to do when the service gives no answer, for the message of SyncError.
    """

    read: Read
    record: Record
    concurrency: int
    slots: asyncio.Semaphore | None = None
    has_succeeded: bool = False
    on_all_dispatched: Callable[[], None] = lambda: None
    find_others: FindOthers | None = None
    answers_elsewhere: Callable[[], Awaitable[bool]] | None = None
    advice: str = "What was read is kept: run the same command again to go on"
    _failures_in_a_row: int = field(default=0, init=False)
    _has_failed_in_passing: bool = field(default=False, init=False)
    _refused_in_a_row: int = field(default=0, init=False)
    _last_failure: str = field(default="", init=False)
    _left_as_it_is: str = field(default="", init=False)
    _answered: tuple[int, Task] | None = field(default=None, init=False)
    _traced: set[str] = field(default_factory=set, init=False)
    _checking: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def run(self, chunks: Chunks) -> None:
        """Read everything; raises SyncError when going on makes no sense."""
        finished: asyncio.Queue[_Finished] = asyncio.Queue()
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
            await _stop([*readers, writer, everything])
        if self._failures_in_a_row and not self.has_succeeded:
            await self._check_service(most=1)

    async def _work(
        self, supply: "_Supply", slots: asyncio.Semaphore, finished: asyncio.Queue[_Finished]
    ) -> None:
        while True:
            async with slots:
                task = await supply.take()
                if task is None:
                    self.on_all_dispatched()
                    return
                outcome = await self._read_one(task)
                is_saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                finished.put_nowait(_Finished(outcome, is_saved))
                await is_saved

    async def _read_one(self, task: Task) -> Outcome:
        """Read one; whatever is raised becomes its outcome, with the reason.

        Raises SyncError when the service answers nobody.
        """
        if self._left_as_it_is:
            return _unsuccessful(task, "failed", self._left_as_it_is)
        try:
            outcome = await self.read(task)
        except UnprovenReadingError as verdict:
            self._failures_in_a_row, self.has_succeeded = 0, True
            return _unsuccessful(task, "unproven", str(verdict))
        except Exception as error:  # noqa: BLE001 - one odd answer must not stop the others
            reason = self._explain(task, error)
            await self._count_failure(error, reason)
            is_refused = isinstance(error, RejectedError) and error.is_definite
            return _unsuccessful(task, "failed", reason, is_refused=is_refused)
        self._failures_in_a_row, self.has_succeeded = 0, True
        self._remember(outcome)
        return outcome

    def _explain(self, task: Task, error: Exception) -> str:
        """Say why a reading failed; what nobody foresaw is logged with where it was raised."""
        if isinstance(error, LoyaltyApiError):
            return str(error)
        frames = "".join(traceback.format_tb(error.__traceback__))
        # The text of the error may quote the answer, and so personal data: its name has to do.
        name = type(error).__name__
        if frames not in self._traced:
            self._traced.add(frames)
            logger.error("%s: unexpected error: %s, raised at\n%s", task, name, frames.rstrip())
        return f"unexpected error: {name}; see the log"

    async def _count_failure(self, error: Exception, reason: str) -> None:
        """Count a failure, and stop the feed when so many make an outage."""
        self._failures_in_a_row += 1
        self._last_failure = reason
        if isinstance(error, IdentityError) and error.call_name.startswith(LOGIN_PATH):
            raise SyncError(self._advise(reason)) from error
        if isinstance(error, TransientError) or not isinstance(error, LoyaltyApiError):
            self._has_failed_in_passing = True
        if self.has_succeeded or self._has_failed_in_passing:
            most = max(_FEWEST_FAILURES, self.concurrency)
        else:
            most = _FEWEST_REFUSALS
        if self._failures_in_a_row >= most:
            await self._check_service(most, error)

    async def _check_service(self, most: int, error: Exception | None = None) -> None:
        """Ask for others before so many failures stop the feed; raises SyncError.

        Those that were pending are read first: many who are refused for good look like an outage.
        """
        async with self._checking:
            if self._failures_in_a_row < most or self._left_as_it_is:
                return
            if await self._answers_others():
                self._failures_in_a_row, self.has_succeeded = 0, True
            elif self._failures_in_a_row < most:
                pass  # one of those in flight was answered meanwhile
            elif self.answers_elsewhere is not None and await self.answers_elsewhere():
                self._left_as_it_is = f"not asked, as others came to nothing: {self._last_failure}"
            else:
                raise SyncError(self._advise(self._last_failure)) from error

    async def _answers_others(self) -> bool:
        """Whether the service answers for one that was answered before, or for a few others."""
        if self._answered is not None and await self._is_answered(self._answered[1]):
            return True
        others = await self.find_others() if self.find_others else ()
        return await any_true(self._is_answered(other) for other in others)

    async def _is_answered(self, task: Task) -> bool:
        try:
            self._remember(await self.read(task))
        except UnprovenReadingError:
            return True
        except Exception:  # noqa: BLE001 - any failure says that there is no answer
            return False
        return True

    def _remember(self, outcome: Outcome) -> None:
        """Keep the one that is the cheapest to ask for again: with the fewest rows."""
        rows = outcome.source_total or 0
        if self._answered is None or rows < self._answered[0]:
            self._answered = rows, outcome.task

    def _advise(self, reason: str) -> str:
        return f"the service gives no usable response: {reason}. {self.advice}"

    async def _write(self, finished: asyncio.Queue[_Finished]) -> None:
        # One save takes half of the places, so that the others are asking meanwhile: were it all of
        # them, the wire would be idle while they are saved, and the processor while they all ask.
        half = self.concurrency // 2
        most = max(_WORTH_A_SAVE, half)
        while True:
            batch = [await finished.get()]
            if len(batch) + finished.qsize() < half:
                await asyncio.sleep(_LINGER_SECONDS)
            while len(batch) < most and not finished.empty():
                batch.append(finished.get_nowait())
            await run_in_thread(partial(self._save, batch, asyncio.get_running_loop()))

    def _save(self, batch: Sequence[_Finished], loop: asyncio.AbstractEventLoop) -> None:
        outcomes = [item.outcome for item in batch]
        refused = self.record(outcomes)
        stored = sum(outcome.status == "done" for outcome in outcomes) - len(refused)
        self._refused_in_a_row = 0 if stored > 0 else self._refused_in_a_row + len(refused)
        if self._refused_in_a_row >= max(_FEWEST_FAILURES, self.concurrency):
            raise SyncError(
                f"the warehouse stores nothing that is read: {refused[-1].error}. {self.advice}"
            )
        # From here: they go on two turns of the loop before the writer does.
        loop.call_soon_threadsafe(_give_back, batch)


class _Supply:
    """The assignments of all chunks, one by one; a chunk is fetched while calls go on."""

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


def _give_back(batch: Sequence[_Finished]) -> None:
    for item in batch:
        if not item.is_saved.done():
            item.is_saved.set_result(None)


def _unsuccessful(
    task: Task, status: TaskStatus, reason: str, *, is_refused: bool = False
) -> Outcome:
    return Outcome(task, status, datetime.now(UTC), error=reason, is_refused=is_refused)


async def _stop(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
