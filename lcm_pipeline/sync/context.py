"""What feeds that are read concurrently share: connections, limits, slots, and an order.

Feeds do not compete for slots. A feed dispatches all of its tasks before the next feed begins to.
Only the end of one (its last responses, its proofs and its publish) overlaps with the start of the
next.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.shared_limits import Priority, sharing_limits
from lcm_pipeline.warehouse.connection import Warehouse

OpenApi = Callable[[Settings], LoyaltyApi]


@dataclass(frozen=True)
class RunContext:
    """What one feed shares with the others.

    warehouse: for work in another session. slots: held by a reading until its rows are saved.
    previous: the context of the feed before this one; None for the first.
    is_prepared: set once the run of the feed has its tasks. all_dispatched: set once the last of
    them has been dispatched.
    """

    api: LoyaltyApi
    warehouse: Warehouse
    slots: asyncio.Semaphore
    previous: Self | None = None
    is_prepared: asyncio.Event = field(default_factory=asyncio.Event)
    all_dispatched: asyncio.Event = field(default_factory=asyncio.Event)

    def for_next_feed(self) -> Self:
        """The context of the next feed."""
        return type(self)(self.api, self.warehouse, self.slots, self)

    def unordered(self) -> Self:
        """The context of a feed that does not wait for the others."""
        return type(self)(self.api, self.warehouse, self.slots)

    async def wait_to_prepare(self) -> None:
        """Wait until the previous feed is prepared: at once, all would begin to read later."""
        if self.previous is not None:
            await self.previous.is_prepared.wait()

    async def wait_to_dispatch(self) -> None:
        """Wait until the previous feed has dispatched its last task."""
        if self.previous is not None:
            await self.previous.all_dispatched.wait()


@asynccontextmanager
async def open_run_context(
    settings: Settings, open_api: OpenApi, warehouse: Warehouse, priority: Priority
) -> AsyncIterator[RunContext]:
    """Open the connections and slots that the settings describe, for the first feed.

    The limits over all processes apply: see `sync.shared_limits`.
    """
    async with (
        open_api(settings) as api,
        sharing_limits(settings, warehouse, api.gate, priority),
    ):
        yield RunContext(api, warehouse, asyncio.Semaphore(settings.concurrency))
