"""The write-back: pushes what waits in the outbox to the API, takes a push back, or previews one.

It decides what a push is for; `sending` does the rest. Blocking, like the engine of the sync.
A push for an undo takes its own updates alone, so that what an accident left
pending stays where it is.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.model.profiles import UpdateFile
from lcm_pipeline.push.send import PushRun
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.context import OpenApi
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.progress import LoggedProgress, Progress
from lcm_pipeline.sync.shared_limits import Priority, sharing_limits
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.outbox.load import load_file
from lcm_pipeline.warehouse.outbox.push_lock import PushLostError, acquire_push_lock
from lcm_pipeline.warehouse.outbox.pushes import PushReport, begin_push, end_push
from lcm_pipeline.warehouse.outbox.undo import Undo, find_undo, store_undo
from lcm_pipeline.warehouse.sessions import ReconnectingSession

# The service ends a call after this long; a lost request cannot change a profile later.
SETTLE_SECONDS = 35.0


class PushStoppedError(SyncError):
    """The push ended before its end. report: what it did until then."""

    def __init__(self, report: PushReport) -> None:
        super().__init__(
            f"push {report.push_id} stopped: {report.error}. What was sent is recorded, the rest"
            " is pending: see outbox.attempts, then run lcm push again, or take this one back"
            f" with lcm push --undo {report.push_id}"
        )
        self.report = report


@dataclass(frozen=True)
class WriteBack:
    """Pushes of one programme. settle_seconds: after which a lost request cannot run any more.

    Calls raise PushRunningError when another process pushes, PushStoppedError, or psycopg.Error
    when the warehouse failed for good.
    """

    settings: Settings
    warehouse: Warehouse
    progress: Progress = field(default_factory=LoggedProgress)
    open_api: OpenApi = LoyaltyApi.from_settings
    settle_seconds: float = SETTLE_SECONDS

    def push(self, *, most: int | None = None, file: UpdateFile | None = None) -> PushReport:
        """Send what is pending, at most so many; a file is put into the outbox before."""
        with self._owning() as reconnecting:
            if file is not None:
                reconnecting.run(lambda session: load_file(session, file))
            return self._send(reconnecting, most=most)

    def undo(self, push_id: int, *, most: int | None = None) -> tuple[Undo, PushReport | None]:
        """Put back the values that were known before a push, as a push of its own.

        Returns what could be put back and what not, and no report when there was nothing to send.
        Raises UndoError when there is no such push.
        """
        with self._owning() as reconnecting:
            undo = reconnecting.run(lambda session: store_undo(session, push_id))
            if not undo.is_waiting:
                return undo, None
            return undo, self._send(reconnecting, undo_of=push_id, most=most)

    def preview_undo(self, push_id: int) -> Undo:
        """What an undo would do; stores and sends nothing."""
        with self.warehouse.connect(application_name="lcm push") as session:
            return find_undo(session, push_id)

    @contextmanager
    def _owning(self) -> Iterator[ReconnectingSession]:
        with ReconnectingSession(self.warehouse, "lcm push") as reconnecting:
            acquire_push_lock(reconnecting)
            try:
                yield reconnecting
            except PushLostError as taken:
                raise SyncError(str(taken)) from taken

    def _send(
        self,
        reconnecting: ReconnectingSession,
        *,
        undo_of: int | None = None,
        most: int | None = None,
    ) -> PushReport:
        push = begin_push(reconnecting, undo_of)
        sending = PushRun(
            self.settings, reconnecting, push, self.progress, most, self.settle_seconds
        )
        try:
            asyncio.run(self._run(sending))
        except KeyboardInterrupt:
            end_push(reconnecting, push, "interrupted", requests=sending.requests)
            raise
        status = "stopped" if sending.halted else "done"
        report = end_push(
            reconnecting, push, status, requests=sending.requests, error=sending.halted
        )
        if sending.halted:
            raise PushStoppedError(report)
        return report

    async def _run(self, sending: PushRun) -> None:
        async with (
            self.open_api(self.settings) as api,
            sharing_limits(self.settings, self.warehouse, api, Priority.PUSH),
        ):
            try:
                await sending.send_everything(api)
            finally:
                sending.requests = api.counts.requests
