"""The fan-out: many tasks read concurrently, each saved before its slot is released.

A task holds its slot until its rows are committed. So a killed process repeats at most
LCM_CONCURRENCY readings, over all feeds that share the slots, and memory holds only those readings
and one chunk of tasks per feed, whatever the size of the roster.

An error while reading a task fails that task alone: `_read_one` is the boundary. Before a series of
failures stops the feed, `_check_service` requests other tasks, to distinguish an outage from a
group of clients that the service rejects.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
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
from lcm_pipeline.sync.errors import ServiceUnavailableError, SyncError
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.warehouse.request_limits import RequestLimitsError

Read = Callable[[Task], Awaitable[Outcome]]
# Returns the outcomes that could not be stored, each replaced by a failure.
Record = Callable[[Sequence[Outcome]], Sequence[Outcome]]
Chunks = Iterator[Sequence[Task]]
FindOthers = Callable[[], Awaitable[Sequence[Task]]]

logger = logging.getLogger(__name__)

# Long enough to batch outcomes that arrive together, short compared with the latency of a call.
_LINGER_SECONDS = 0.004
_MIN_BATCH = 16
# Consecutive failures that suggest an outage. With a higher concurrency, that many: when an outage
# begins, every request in flight fails.
_OUTAGE_FAILURES = 8
# Consecutive rejections that suggest a wrong token or address, while nothing has succeeded yet.
_OUTAGE_REJECTIONS = 3


class _FinishedTask(NamedTuple):
    outcome: Outcome
    is_saved: asyncio.Future[None]


@dataclass
class FanOut:
    """Reads tasks, at most `concurrency` at a time, and records their outcomes in batches.

    slots: shared with other feeds; None for slots of its own.
    has_succeeded: an earlier request of the run succeeded, so a rejection concerns one client.
    on_all_dispatched: called once no task is left to begin.
    find_others: returns a few tasks that should succeed, to try before the feed stops.
    responds_elsewhere: returns whether the service responds for other feeds; then this feed is
    abandoned: its remaining tasks fail without a request, and the run goes on. None: never.
    kept, next_step: what the message of SyncError says of the tasks that were read, and what to do
    when the service responds again.
    """

    read: Read
    record: Record
    concurrency: int
    slots: asyncio.Semaphore | None = None
    has_succeeded: bool = False
    on_all_dispatched: Callable[[], None] = lambda: None
    find_others: FindOthers | None = None
    responds_elsewhere: Callable[[], Awaitable[bool]] | None = None
    kept: str = "What was read is kept"
    next_step: str = "run the same command again to go on"
    _consecutive_failures: int = field(default=0, init=False)
    _has_transient_failure: bool = field(default=False, init=False)
    _consecutive_unstored: int = field(default=0, init=False)
    _last_failure: str = field(default="", init=False)
    _may_pass: bool = field(default=True, init=False)
    _abandoned: str = field(default="", init=False)
    _cheapest: tuple[int, Task] | None = field(default=None, init=False)
    _traced: set[str] = field(default_factory=set, init=False)
    _checking: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def run(self, chunks: Chunks) -> None:
        """Read all tasks. Raises SyncError when the service or the warehouse fails throughout."""
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
            await _stop([*readers, writer, everything])
        if self._consecutive_failures and not self.has_succeeded:
            await self._check_service(most=1)

    async def _work(
        self, supply: "_Supply", slots: asyncio.Semaphore, finished: asyncio.Queue[_FinishedTask]
    ) -> None:
        while True:
            async with slots:
                task = await supply.take()
                if task is None:
                    self.on_all_dispatched()
                    return
                outcome = await self._read_one(task)
                is_saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                finished.put_nowait(_FinishedTask(outcome, is_saved))
                await is_saved

    async def _read_one(self, task: Task) -> Outcome:
        """Read one task; an exception becomes a failed outcome with its reason.

        Raises SyncError when the service does not respond for any task, and RequestLimitsError when
        no request may be sent.
        """
        if self._abandoned:
            return _unsuccessful(task, "failed", self._abandoned)
        try:
            outcome = await self.read(task)
        except UnprovenReadingError as verdict:
            self._consecutive_failures, self.has_succeeded = 0, True
            return _unsuccessful(task, "unproven", str(verdict))
        except RequestLimitsError:
            raise
        except Exception as error:  # noqa: BLE001 - one odd response must not stop the others
            reason = self._explain(task, error)
            await self._count_failure(error, reason)
            is_refused = isinstance(error, RejectedError) and error.is_about_request
            return _unsuccessful(task, "failed", reason, is_refused=is_refused)
        self._consecutive_failures, self.has_succeeded = 0, True
        self._remember(outcome)
        return outcome

    def _explain(self, task: Task, error: Exception) -> str:
        """Describe why a reading failed; an unexpected error is logged with its traceback."""
        if isinstance(error, LoyaltyApiError):
            return str(error)
        frames = "".join(traceback.format_tb(error.__traceback__))
        # The text of the error may quote personal data from the response: log its class only.
        name = type(error).__name__
        if frames not in self._traced:
            self._traced.add(frames)
            logger.error("%s: unexpected error: %s, raised at\n%s", task, name, frames.rstrip())
        return f"unexpected error: {name}; see the log"

    async def _count_failure(self, error: Exception, reason: str) -> None:
        """Count a failure, and check the service once the failures look like an outage."""
        self._consecutive_failures += 1
        self._last_failure = reason
        self._may_pass = not isinstance(error, LoyaltyApiError) or error.may_pass
        if isinstance(error, IdentityError) and error.call_name.startswith(LOGIN_PATH):
            raise self._no_response() from error
        if isinstance(error, TransientError) or not isinstance(error, LoyaltyApiError):
            self._has_transient_failure = True
        if self.has_succeeded or self._has_transient_failure:
            most = max(_OUTAGE_FAILURES, self.concurrency)
        else:
            most = _OUTAGE_REJECTIONS
        if self._consecutive_failures >= most:
            await self._check_service(most, error)

    async def _check_service(self, most: int, error: Exception | None = None) -> None:
        """Request other tasks before a series of failures stops the feed; raises SyncError.

        Pending clients are read first. Many that are rejected for good look like an outage.
        """
        async with self._checking:
            if self._consecutive_failures < most or self._abandoned:
                return
            if await self._responds_for_others():
                self._consecutive_failures, self.has_succeeded = 0, True
            elif self._consecutive_failures < most:
                pass  # a request in flight has succeeded in the meantime
            elif self.responds_elsewhere is not None and await self.responds_elsewhere():
                self._abandoned = f"not requested, as others failed: {self._last_failure}"
            else:
                raise self._no_response() from error

    async def _responds_for_others(self) -> bool:
        """Whether the service responds for a task that succeeded before, or for a few others."""
        if self._cheapest is not None and await self._succeeds(self._cheapest[1]):
            return True
        others = await self.find_others() if self.find_others else ()
        return await any_true(self._succeeds(other) for other in others)

    async def _succeeds(self, task: Task) -> bool:
        try:
            self._remember(await self.read(task))
        except UnprovenReadingError:
            return True
        except RequestLimitsError:
            raise
        except Exception:  # noqa: BLE001 - any failure means no response
            return False
        return True

    def _remember(self, outcome: Outcome) -> None:
        """Remember the task with the fewest rows: the cheapest to request again."""
        rows = outcome.source_total or 0
        if self._cheapest is None or rows < self._cheapest[0]:
            self._cheapest = rows, outcome.task

    def _no_response(self) -> SyncError:
        """The error that stops the feed: the last failure, and the next step."""
        message = f"the service gives no usable response: {self._last_failure}. {self.kept}"
        if self._may_pass:
            return ServiceUnavailableError(f"{message}: {self.next_step}")
        return SyncError(f"{message}: once that is corrected, run the same command again")

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
        if self._consecutive_unstored >= max(_OUTAGE_FAILURES, self.concurrency):
            raise SyncError(
                f"the warehouse rejects all that was read: {unstored[-1].error}. {self.kept}:"
                f" {self.next_step}"
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


def _unsuccessful(
    task: Task, status: TaskStatus, reason: str, *, is_refused: bool = False
) -> Outcome:
    return Outcome(task, status, datetime.now(UTC), error=reason, is_refused=is_refused)


async def any_true(calls: Iterable[Awaitable[bool]]) -> bool:
    """Await some calls concurrently until one returns True, then cancel the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        for task in asyncio.as_completed(tasks):
            if await task:
                return True
    finally:
        await _stop(tasks)
    return False


async def _stop(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
