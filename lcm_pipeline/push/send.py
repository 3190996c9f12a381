"""Sends the updates of a push: clients concurrently, the updates of one client in order.

An update without a response, or that must be sent again, holds back the later ones of its client; a
rejected, partial or failed one does not. A lost response does not mean that the server is done: an
update is sent again only after the service's own time limit, or its late first copy could overwrite
a newer update.

An error of one update, even an unexpected one, costs only that update. Only the canary, the
credentials and the warehouse stop the push.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from math import ceil
from typing import TypeVar

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.model.profiles import AttemptResult, FieldError, KnownProfile, ProfileUpdate
from lcm_pipeline.model.unexpected import UnexpectedErrorLog
from lcm_pipeline.push.attempt import describe_unexpected, send_update
from lcm_pipeline.push.canary import Canary
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.gathering import cancel_all
from lcm_pipeline.sync.progress import Progress
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.transform.profiles import ValidatedUpdate, validate_update
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.outbox.push_lock import may_send, quiet_seconds
from lcm_pipeline.warehouse.outbox.pushes import Push, put_back_refused
from lcm_pipeline.warehouse.outbox.updates import (
    Claim,
    UpdateStatus,
    claim_update,
    finish_update,
    set_update_aside,
)
from lcm_pipeline.warehouse.outbox.waiting import WaitingUpdate, count_waiting, next_updates
from lcm_pipeline.warehouse.redaction import RowRefusedError
from lcm_pipeline.warehouse.sessions import ReconnectingSession

logger = logging.getLogger(__name__)

# The name of the updates where the progress of a sync names a feed.
_PROGRESS_NAME = "profile updates"
_CHUNK = 1_000
# Rounds of a push: an update whose response was lost is sent again in the next one.
_ROUNDS = 3
_POLL_SECONDS = 0.5

_EVERYTHING_REFUSED = (
    "the API refused every update with the same ErrorCode, which may be due to our credentials:"
    " check LCM_TOKEN and LCM_OPERATOR. The updates are pending again"
)

ResultT = TypeVar("ResultT")


@dataclass
class PushRun:
    """Executes one push, in the process that holds the push lock.

    most: updates to send at most. service_timeout_seconds: after which the service cannot be
    executing a lost request any more. halted: why nothing more is sent. requests: number sent, set
    at the end.
    """

    settings: Settings
    reconnecting: ReconnectingSession
    push: Push
    progress: Progress
    most: int | None
    service_timeout_seconds: float
    halted: str | None = field(default=None, init=False)
    requests: int = field(default=0, init=False)
    _held_back: set[int] = field(default_factory=set, init=False)
    _responses_before: dict[int, int] = field(default_factory=dict, init=False)
    _unexpected: UnexpectedErrorLog = field(
        default_factory=lambda: UnexpectedErrorLog(logger), init=False
    )
    _has_logged_wait: bool = field(default=False, init=False)
    _has_logged_lost_request: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        concurrency = self.settings.concurrency
        if self.settings.max_rps is not None:
            # Claim no more updates than can leave within a second: a claimed update that queues
            # for the rate is in `sending` when the process is killed.
            concurrency = min(concurrency, max(1, ceil(self.settings.max_rps)))
        self._slots = asyncio.Semaphore(concurrency)
        self._canary = Canary(self.settings.push_canary, self.settings.push_fuse, concurrency)
        self._budget = self.most

    async def send_everything(self, api: LoyaltyApi) -> None:
        """Send the pending updates; those that fail are tried again in a few more rounds."""
        api.gate.check_before_each_request(self._may_send)
        waiting = await self._run(lambda session: count_waiting(session, self.push))
        self.progress.start(_PROGRESS_NAME, min(waiting, self.most or waiting), 0)
        for _ in range(_ROUNDS):
            self._held_back, self._has_logged_lost_request = set(), False
            await self._send_round(api)
            if self._is_over or not self._held_back or self._canary.is_unreachable:
                break
        self._halt(self._canary.no_response_reason())
        if self._canary.refuses_everything:
            await self._run(lambda session: put_back_refused(session, self.push))
            self.halted = _EVERYTHING_REFUSED
        if not self.halted and not self._held_back:
            self.progress.finish(_PROGRESS_NAME)

    async def _send_round(self, api: LoyaltyApi) -> None:
        after = 0
        while not self._is_over:
            most = min(self._canary.trial_left or _CHUNK, _CHUNK)
            if self._budget is not None:
                most = min(most, self._budget)
            waiting = await self._run(partial(next_updates, push=self.push, after=after, most=most))
            if not waiting:
                return
            after = waiting[-1].update_id
            lanes: dict[int, list[WaitingUpdate]] = {}
            for update in waiting:
                if update.client_id not in self._held_back:
                    lanes.setdefault(update.client_id, []).append(update)
            tasks = [asyncio.ensure_future(self._send_lane(api, lane)) for lane in lanes.values()]
            try:
                await asyncio.gather(*tasks)
            finally:
                await cancel_all(tasks)

    @property
    def _is_over(self) -> bool:
        return self.halted is not None or self._budget == 0

    def _halt(self, reason: str | None) -> None:
        """Send nothing more; the first reason is kept, and requests in flight are finished."""
        self.halted = self.halted or reason

    async def _send_lane(self, api: LoyaltyApi, lane: Sequence[WaitingUpdate]) -> None:
        """Send the updates of one client in order, until one holds back the others."""
        for waiting in lane:
            async with self._slots:
                if self._is_over:
                    return
                status = await self._send_one(api, waiting)
            if status in ("pending", "sending", None):
                self._held_back.add(waiting.client_id)
                return
            self.progress.advance(_PROGRESS_NAME, 1)

    async def _send_one(self, api: LoyaltyApi, waiting: WaitingUpdate) -> UpdateStatus | None:
        # Before the claim too: a claimed update whose request was not sent is in `sending`.
        while not await self._may_send():  # noqa: ASYNC110 - the answer is in the database
            await asyncio.sleep(_POLL_SECONDS)
        await self._wait_for_lost_request(waiting)
        try:
            taken = await self._run(
                lambda session: claim_update(session, self.push, waiting.update_id, self._validate)
            )
        except RowRefusedError as refused:
            error = str(refused)
            return await self._run(
                lambda session: set_update_aside(session, self.push, waiting.update_id, error)
            )
        if not isinstance(taken, Claim):
            return taken
        if self._budget is not None:
            self._budget -= 1
        result = await send_update(api, taken, self._unexpected)
        if result.is_ambiguous:
            result = await self._resolve_ambiguity(taken, result)
        if result.is_credentials_error:
            self._halt(f"update {taken.update_id}: {result.error}")
        self._canary.record(result)
        self._halt(self._canary.reason_to_stop())
        return await self._run(lambda session: finish_update(session, taken, result))

    async def _resolve_ambiguity(self, claim: Claim, result: AttemptResult) -> AttemptResult:
        """Distinguish an update that fails from a service that fails for every update.

        After an ambiguous result the update is sent again in the next round. When the result is the
        same, and the service responded to other updates in between, this update has failed.
        """
        before = self._responses_before.setdefault(claim.update_id, self._canary.responses)
        if self._canary.responses == before:
            return result
        if result.outcome == "unknown":
            # The client's next update is sent after this, so this one's request must be over.
            await asyncio.sleep(self.service_timeout_seconds)
        return replace(result, outcome="failed")

    async def _wait_for_lost_request(self, waiting: WaitingUpdate) -> None:
        """Wait until the service cannot be executing the lost request of an update any more."""
        if waiting.seconds_since is None or waiting.seconds_since >= self.service_timeout_seconds:
            return
        seconds = self.service_timeout_seconds - waiting.seconds_since
        if seconds >= 1 and not self._has_logged_lost_request:
            logger.warning("responses were lost: those updates are sent again in %.0f s", seconds)
        self._has_logged_lost_request = True
        await asyncio.sleep(seconds)

    async def _may_send(self) -> bool:
        """Whether no sync that shares our rate is reading; raises when the push lock was lost."""
        quiet = quiet_seconds(self.settings.max_rps)
        may = await self._run(lambda session: may_send(session, quiet))
        if not may and not self._has_logged_wait:
            logger.warning("the push waits for a running sync, as both share LCM_MAX_RPS")
        self._has_logged_wait = not may
        return may

    def _validate(self, update: ProfileUpdate, known: KnownProfile) -> ValidatedUpdate:
        try:
            return validate_update(update, known, datetime.now(self.settings.zone).date())
        except Exception as error:  # noqa: BLE001 - one update must not stop the others
            self._unexpected.record(f"update {update.update_id}", error)
            return ValidatedUpdate((FieldError(describe_unexpected(error)),))

    async def _run(self, work: Callable[[Session], ResultT]) -> ResultT:
        return await run_in_thread(partial(self.reconnecting.run, work))
