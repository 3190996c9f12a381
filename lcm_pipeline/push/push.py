"""The write-back: pushes pending updates to the API, undoes a push, previews an undo.

Decides what a push sends; `send` sends it. Blocking, like a sync. The push of an undo sends only
its own updates, so that updates which an accident left pending are not sent by it.
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

# Seconds. The service aborts a call after less than this, so a lost request cannot change a profile
# later.
SERVICE_TIMEOUT_SECONDS = 35.0


class PushStoppedError(SyncError):
    """The push stopped early. report: what it did until then."""

    def __init__(self, report: PushReport) -> None:
        super().__init__(
            f"push {report.push_id} stopped: {report.error}. What was sent is recorded, the rest"
            " is pending: see outbox.attempts, then run lcm push again, or undo this one with"
            f" lcm push --undo {report.push_id}"
        )
        self.report = report


@dataclass(frozen=True)
class WriteBack:
    """Pushes to one programme.

    service_timeout_seconds: after which the service cannot be executing a lost request any more.
    Methods raise PushRunningError when another process pushes, PushStoppedError, or psycopg.Error
    when the warehouse fails permanently.
    """

    settings: Settings
    warehouse: Warehouse
    progress: Progress = field(default_factory=LoggedProgress)
    open_api: OpenApi = LoyaltyApi.from_settings
    service_timeout_seconds: float = SERVICE_TIMEOUT_SECONDS

    def push(self, *, most: int | None = None, file: UpdateFile | None = None) -> PushReport:
        """Send pending updates, at most `most`; rows of a file are added to the outbox first."""
        with self._hold_push_lock() as reconnecting:
            if file is not None:
                reconnecting.run(lambda session: load_file(session, file))
            return self._send(reconnecting, most=most)

    def undo(self, push_id: int, *, most: int | None = None) -> tuple[Undo, PushReport | None]:
        """Restore the values that were known before a push, with a new push.

        Returns what could be restored and what could not; the report is None if there was nothing
        to send. Raises UndoError when there is no such push.
        """
        with self._hold_push_lock() as reconnecting:
            undo = reconnecting.run(lambda session: store_undo(session, push_id))
            if not undo.is_waiting:
                return undo, None
            return undo, self._send(reconnecting, undo_of=push_id, most=most)

    def preview_undo(self, push_id: int) -> Undo:
        """Return what an undo would do; stores and sends nothing."""
        with self.warehouse.connect(application_name="lcm push") as session:
            return find_undo(session, push_id)

    @contextmanager
    def _hold_push_lock(self) -> Iterator[ReconnectingSession]:
        with ReconnectingSession(self.warehouse, "lcm push") as reconnecting:
            acquire_push_lock(reconnecting)
            try:
                yield reconnecting
            except PushLostError as error:
                raise SyncError(str(error)) from error

    def _send(
        self,
        reconnecting: ReconnectingSession,
        *,
        undo_of: int | None = None,
        most: int | None = None,
    ) -> PushReport:
        push = begin_push(reconnecting, undo_of)
        run = PushRun(
            self.settings, reconnecting, push, self.progress, most, self.service_timeout_seconds
        )

        async def send_everything() -> None:
            async with (
                self.open_api(self.settings) as api,
                sharing_limits(self.settings, self.warehouse, api.gate, Priority.PUSH),
            ):
                try:
                    await run.send_everything(api)
                finally:
                    run.requests = api.counts.requests

        try:
            asyncio.run(send_everything())
        except KeyboardInterrupt:
            end_push(reconnecting, push, "interrupted", requests=run.requests)
            raise
        status = "stopped" if run.halted else "done"
        report = end_push(reconnecting, push, status, requests=run.requests, error=run.halted)
        if run.halted:
            raise PushStoppedError(report)
        return report
