"""Distinguishes an outage of the service from a group of tasks that it rejects.

An error while reading a task fails that task alone: `read_task` is the boundary. Before a series of
failures stops the feed, other tasks are requested.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lcm_pipeline.api.errors import (
    LoginError,
    LoyaltyApiError,
    RejectedError,
    TransientError,
)
from lcm_pipeline.model.errors import WorkStoppedError
from lcm_pipeline.model.tasks import Outcome, Task, TaskStatus
from lcm_pipeline.model.unexpected import UnexpectedErrorLog
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.sync.errors import RESUME, Advice, ServiceUnavailableError, SyncError
from lcm_pipeline.sync.fan_out import OUTAGE_FAILURES, Read
from lcm_pipeline.sync.gathering import any_true

FindOthers = Callable[[], Awaitable[Sequence[Task]]]

logger = logging.getLogger(__name__)

# Consecutive rejections that suggest a wrong token or address, while nothing has succeeded yet.
_OUTAGE_REJECTIONS = 3


@dataclass
class ServiceMonitor:
    """Reads the tasks of a fan-out, and stops it when the service responds for none of them.

    read: reads a task from the source. concurrency: tasks that are read at a time.
    has_succeeded: an earlier request of the run succeeded, so a rejection concerns one client.
    find_others: returns a few tasks that should succeed, to try before the feed stops.
    responds_elsewhere: returns whether the service responds for other feeds; then this feed is
    abandoned: its remaining tasks fail without a request, and the run goes on. None: never.
    advice: the end of the message of SyncError.
    """

    read: Read
    concurrency: int
    has_succeeded: bool = False
    find_others: FindOthers | None = None
    responds_elsewhere: Callable[[], Awaitable[bool]] | None = None
    advice: Advice = RESUME
    _consecutive_failures: int = field(default=0, init=False)
    _has_transient_failure: bool = field(default=False, init=False)
    _last_failure: str = field(default="", init=False)
    _may_pass: bool = field(default=True, init=False)
    _abandoned: str = field(default="", init=False)
    _cheapest: tuple[int, Task] | None = field(default=None, init=False)
    _unexpected: UnexpectedErrorLog = field(
        default_factory=lambda: UnexpectedErrorLog(logger), init=False
    )
    _checking: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def read_task(self, task: Task) -> Outcome:
        """Read one task; an exception becomes a failed outcome with its reason.

        Raises SyncError when the service does not respond for any task, and WorkStoppedError when
        no task may be read.
        """
        if self._abandoned:
            return _unsuccessful(task, "failed", self._abandoned)
        try:
            outcome = await self.read(task)
        except UnprovenReadingError as verdict:
            self._consecutive_failures, self.has_succeeded = 0, True
            return _unsuccessful(task, "unproven", str(verdict))
        except WorkStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - one odd response must not stop the others
            if isinstance(error, LoyaltyApiError):
                reason = str(error)
            else:
                self._unexpected.record(task, error)
                reason = f"unexpected error: {type(error).__name__}; see the log"
            await self._count_failure(error, reason)
            is_refused = isinstance(error, RejectedError) and error.is_about_request
            return _unsuccessful(task, "failed", reason, is_refused=is_refused)
        self._consecutive_failures, self.has_succeeded = 0, True
        self._remember(outcome)
        return outcome

    async def check_at_end(self) -> None:
        """After the last task: raise SyncError if nothing has ever succeeded."""
        if self._consecutive_failures and not self.has_succeeded:
            await self._check_service(most=1)

    async def _count_failure(self, error: Exception, reason: str) -> None:
        """Count a failure, and check the service once the failures look like an outage."""
        self._consecutive_failures += 1
        self._last_failure = reason
        self._may_pass = not isinstance(error, LoyaltyApiError) or error.may_pass
        if isinstance(error, LoginError):
            raise self._no_response() from error
        if isinstance(error, TransientError) or not isinstance(error, LoyaltyApiError):
            self._has_transient_failure = True
        if self.has_succeeded or self._has_transient_failure:
            most = max(OUTAGE_FAILURES, self.concurrency)
        else:
            most = _OUTAGE_REJECTIONS
        if self._consecutive_failures >= most:
            await self._check_service(most, error)

    async def _check_service(self, most: int, error: Exception | None = None) -> None:
        """Request other tasks before a series of failures stops the feed; raises SyncError.

        Clients that were pending before are read first, and many may be rejected for good. That
        looks like an outage.
        """
        async with self._checking:
            if self._consecutive_failures < most or self._abandoned:
                return
            # A task that succeeded before is requested first, then a few others.
            responds = self._cheapest is not None and await self._succeeds(self._cheapest[1])
            if not responds and self.find_others is not None:
                responds = await any_true(map(self._succeeds, await self.find_others()))
            if responds:
                self._consecutive_failures, self.has_succeeded = 0, True
            elif self._consecutive_failures < most:
                pass  # a request in flight has succeeded in the meantime
            elif self.responds_elsewhere is not None and await self.responds_elsewhere():
                self._abandoned = f"not requested, as others failed: {self._last_failure}"
            else:
                raise self._no_response() from error

    async def _succeeds(self, task: Task) -> bool:
        try:
            self._remember(await self.read(task))
        except UnprovenReadingError:
            return True
        except WorkStoppedError:
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
        message = f"the service gives no usable response: {self._last_failure}. {self.advice.kept}"
        if self._may_pass:
            return ServiceUnavailableError(f"{message}: {self.advice.next_step}")
        return SyncError(f"{message}: once that is corrected, run the same command again")


def _unsuccessful(
    task: Task, status: TaskStatus, reason: str, *, is_refused: bool = False
) -> Outcome:
    return Outcome(task, status, datetime.now(UTC), error=reason, is_refused=is_refused)
