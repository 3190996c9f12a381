"""Limits over all readers, commands and machines of a warehouse, and their priorities.

LCM_MAX_RPS spaces requests out, LCM_MAX_IN_FLIGHT bounds those in flight. Without either, requests
cost the warehouse nothing.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import IntEnum

from lcm_pipeline.api.rate_limit import RequestGate
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.shared_pace import SharedPace
from lcm_pipeline.sync.shared_slots import SharedSlots
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.request_limits import (
    Reservation,
    join_slots,
    reserve_requests,
    share_slots,
    stopping_without_limits,
)
from lcm_pipeline.warehouse.sessions import ReconnectingSession


class Priority(IntEnum):
    """Which requests go first when they wait for a limit: the lower value."""

    DAILY = 0
    BACKFILL = 1
    PUSH = 2


def priority_of(window: Window, settings: Settings) -> Priority:
    """DAILY for a sync of yesterday or today alone; BACKFILL for any other window."""
    is_daily = window.first == window.last and window.last >= settings.yesterday()
    return Priority.DAILY if is_daily else Priority.BACKFILL


@asynccontextmanager
async def sharing_limits(
    settings: Settings, warehouse: Warehouse, gate: RequestGate, priority: Priority
) -> AsyncIterator[None]:
    """Apply the limits over all processes to the requests of a gate while the context is open."""
    async with AsyncExitStack() as stack:
        if settings.max_rps is not None:
            pacing = stack.enter_context(ReconnectingSession(warehouse, "lcm pace"))
            gate.share_pace(_pace_of(settings.max_rps, pacing, priority).wait)
        if settings.max_in_flight is not None:
            holding = stack.enter_context(ReconnectingSession(warehouse, "lcm slots"))
            slots = _slots_of(settings.max_in_flight, holding, priority)
            await stack.enter_async_context(slots.sharing())
            gate.share_slots(slots)
        yield


def _pace_of(per_second: float, pacing: ReconnectingSession, priority: Priority) -> SharedPace:
    def reserve(spacing: float, count: int, is_more: bool, earliest: float) -> Reservation:
        with stopping_without_limits():
            return pacing.run(
                lambda session: reserve_requests(
                    session, spacing, count, priority=priority, is_more=is_more, earliest=earliest
                )
            )

    return SharedPace(reserve, per_second, priority=priority)


def _slots_of(cap: int, holding: ReconnectingSession, priority: Priority) -> SharedSlots:
    holding.run(join_slots)

    def join_again(session: Session, _lost: int) -> None:
        join_slots(session)

    holding.on_reconnect(join_again)

    def share(wanted: int, in_flight: int) -> int:
        with stopping_without_limits():
            return holding.run(
                lambda session: share_slots(
                    session, cap, priority=priority, wanted=wanted, in_flight=in_flight
                )
            )

    return SharedSlots(share)
