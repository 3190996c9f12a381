"""The sending of a push: clients side by side, the updates of a client one after another.

An update that waits for an answer, or that must be sent again, holds back the later ones of its
client; a rejected, partial or failed one does not. A lost answer does not say
that the server is done. An update is sent again only when the service's own time limit is over,
or its late first copy could land on top of a newer update.

What one update brings about, an exception that nobody foresaw too, costs that update alone. Only
the brake, the credentials and the warehouse stop the others.
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
from lcm_pipeline.model.profiles import AttemptResult, KnownProfile, Objection, ProfileUpdate
from lcm_pipeline.push.attempt import ask, log_unexpected, unexpected
from lcm_pipeline.push.canary import Canary
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.progress import Progress
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.transform.profiles import Verdict, judge
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.outbox.push_lock import may_send, quiet_seconds
from lcm_pipeline.warehouse.outbox.pushes import Push, put_back_refused
from lcm_pipeline.warehouse.outbox.updates import (
    Claim,
    UpdateStatus,
    claim_update,
    finish_update,
    reject_update,
)
from lcm_pipeline.warehouse.outbox.waiting import WaitingUpdate, count_waiting, next_updates
from lcm_pipeline.warehouse.redaction import RowRefusedError
from lcm_pipeline.warehouse.sessions import ReconnectingSession

logger = logging.getLogger(__name__)

FEED = "profile updates"
_CHUNK = 1_000
_ROUNDS = 3
_LOOK_SECONDS = 0.5

_ABOUT_US = (
    "the API refused every update alike, which may be about us: check LCM_TOKEN and LCM_OPERATOR."
    " The updates are pending again"
)

ResultT = TypeVar("ResultT")


@dataclass
class PushRun:
    """One push at work, for the process that owns it.

    most: updates to send at most. settle_seconds: after which a lost request cannot run any more.
    halted: why nothing more is sent. requests: sent so far, once it is over.
    """

    settings: Settings
    reconnecting: ReconnectingSession
    push: Push
    progress: Progress
    most: int | None
    settle_seconds: float
    halted: str | None = None
    requests: int = 0
    _stuck: set[int] = field(default_factory=set)
    _answered_before: dict[int, int] = field(default_factory=dict)
    _logged: set[str] = field(default_factory=set)
    _says_that_it_waits: bool = False
    _says_that_it_settles: bool = False

    def __post_init__(self) -> None:
        rate = self.settings.max_rps
        concurrency = self.settings.concurrency
        # No more in flight than leave within a second, or they would queue once claimed.
        concurrency = concurrency if rate is None else min(concurrency, max(1, ceil(rate)))
        self._slots = asyncio.Semaphore(concurrency)
        self._brake = Canary(self.settings.push_canary, self.settings.push_fuse, concurrency)
        self._budget = self.most

    async def send_everything(self, api: LoyaltyApi) -> None:
        """Send what waits; what came to nothing is tried again, a few times."""
        api.before_each_request(self._before_request)
        waiting = await self._run(lambda session: count_waiting(session, self.push))
        self.progress.start(FEED, min(waiting, self.most or waiting), 0)
        for _ in range(_ROUNDS):
            self._stuck, self._says_that_it_settles = set(), False
            await self._send_round(api)
            if self._is_over or not self._stuck or self._brake.is_unreachable:
                break
        self._halt(self._brake.reason_for_silence())
        if self._brake.is_about_us:
            await self._run(lambda session: put_back_refused(session, self.push))
            self.halted = _ABOUT_US
        if not self.halted and not self._stuck:
            self.progress.finish(FEED)

    async def _send_round(self, api: LoyaltyApi) -> None:
        after = 0
        while not self._is_over and (waiting := await self._next(after)):
            after = waiting[-1].update_id
            lanes = _lanes(waiting, self._stuck)
            tasks = [asyncio.ensure_future(self._send_lane(api, lane)) for lane in lanes]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _next(self, after: int) -> list[WaitingUpdate]:
        limits = [_CHUNK, self._brake.left_of_trial or _CHUNK]
        if self._budget is not None:
            limits.append(self._budget)
        return await self._run(
            lambda session: next_updates(session, self.push, after=after, most=min(limits))
        )

    @property
    def _is_over(self) -> bool:
        return self.halted is not None or self._budget == 0

    def _halt(self, reason: str | None) -> None:
        """Send nothing more, for the first of all reasons; what is in flight is settled."""
        self.halted = self.halted or reason

    async def _send_lane(self, api: LoyaltyApi, lane: Sequence[WaitingUpdate]) -> None:
        """Send the updates of one client in their order, until one has to wait."""
        for waiting in lane:
            async with self._slots:
                if self._is_over:
                    return
                status = await self._send_one(api, waiting)
            if status in ("pending", "sending", None):
                self._stuck.add(waiting.client_id)
                return
            self.progress.advance(FEED, 1)

    async def _send_one(self, api: LoyaltyApi, waiting: WaitingUpdate) -> UpdateStatus | None:
        await self._before_request()
        await self._let_settle(waiting)
        try:
            taken = await self._run(
                lambda session: claim_update(session, self.push, waiting.update_id, self._judge)
            )
        except RowRefusedError as refused:
            error = str(refused)
            return await self._run(
                lambda session: reject_update(session, self.push, waiting.update_id, error)
            )
        if not isinstance(taken, Claim):
            return taken
        if self._budget is not None:
            self._budget -= 1
        answered = await ask(api, taken, self._logged)
        if answered.is_ambiguous:
            answered = await self._decide(taken, answered)
        if answered.is_about_us:
            self._halt(f"update {taken.update_id}: {answered.error}")
        self._brake.note(answered)
        self._halt(self._brake.reason_to_stop())
        return await self._run(lambda session: finish_update(session, taken, answered))

    async def _decide(self, claim: Claim, answered: AttemptResult) -> AttemptResult:
        """Distinguish an update that failed from a service that refuses everybody.

        An ambiguous answer is tried again in the next round. When it comes again, and the service
        answered other updates in between, it is about this update, which has failed.
        """
        before = self._answered_before.setdefault(claim.update_id, self._brake.answered)
        if self._brake.answered == before:
            return answered
        if answered.outcome == "unknown":
            # The next update of the client goes then, so no late copy of this one may be about.
            await asyncio.sleep(self.settle_seconds)
        return replace(answered, outcome="failed")

    async def _let_settle(self, waiting: WaitingUpdate) -> None:
        """Wait until the lost request of an update cannot be carried out any more."""
        if waiting.seconds_since is None or waiting.seconds_since >= self.settle_seconds:
            return
        seconds = self.settle_seconds - waiting.seconds_since
        if seconds >= 1 and not self._says_that_it_settles:
            logger.warning("responses were lost: those updates are sent again in %.0f s", seconds)
        self._says_that_it_settles = True
        await asyncio.sleep(seconds)

    async def _before_request(self) -> None:
        """Wait while a sync reads, when both share a rate; fails when the push was lost."""
        quiet = quiet_seconds(self.settings.max_rps)
        while not await self._run(lambda session: may_send(session, quiet)):
            if not self._says_that_it_waits:
                logger.warning("a sync reads: the push waits, as both share LCM_MAX_RPS")
            self._says_that_it_waits = True
            await asyncio.sleep(_LOOK_SECONDS)
        self._says_that_it_waits = False

    def _judge(self, update: ProfileUpdate, known: KnownProfile) -> Verdict:
        try:
            return judge(update, known, datetime.now(self.settings.zone).date())
        except Exception as error:  # noqa: BLE001 - one update must not end the push of all
            log_unexpected(update.update_id, error, self._logged)
            return Verdict((Objection(unexpected(error)),))

    async def _run(self, work: Callable[[Session], ResultT]) -> ResultT:
        return await run_in_thread(partial(self.reconnecting.run, work))


def _lanes(waiting: Sequence[WaitingUpdate], stuck: set[int]) -> list[list[WaitingUpdate]]:
    """The updates of each client that is not held back, in order."""
    lanes: dict[int, list[WaitingUpdate]] = {}
    for one in waiting:
        if one.client_id not in stuck:
            lanes.setdefault(one.client_id, []).append(one)
    return list(lanes.values())
