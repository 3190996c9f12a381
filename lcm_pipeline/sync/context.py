"""What feeds share that are read at the same time: connections, limits, slots, and the order.

They do not compete. A feed hands out all that it has to read before the next
one begins to; what overlaps is the end of one, its last answers, its proofs and its publish, with
the beginning of the next.
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
    """What one feed uses together with others.

    slots: taken by a reading until its rows are saved. after: set once the feed before has handed
    out its last reading; None for the first. all_dispatched: the same of this one.
    """

    api: LoyaltyApi
    slots: asyncio.Semaphore
    after: asyncio.Event | None = None
    all_dispatched: asyncio.Event = field(default_factory=asyncio.Event)

    def for_next_feed(self) -> Self:
        """The same for the feed that comes next."""
        return type(self)(self.api, self.slots, self.all_dispatched)

    def unordered(self) -> Self:
        """The same for a feed that stands in no order with the others."""
        return type(self)(self.api, self.slots)

    async def wait_for_previous_feed(self) -> None:
        """Wait until the feed before has handed out its last reading."""
        if self.after is not None:
            await self.after.wait()


@asynccontextmanager
async def open_run_context(
    settings: Settings, open_api: OpenApi, warehouse: Warehouse, priority: Priority
) -> AsyncIterator[RunContext]:
    """The connections and slots of the settings, for the feed that is first.

    Limits of all processes hold: see `sync.shared_limits`.
    """
    async with (
        open_api(settings) as api,
        sharing_limits(settings, warehouse, api, priority),
    ):
        yield RunContext(api, asyncio.Semaphore(settings.concurrency))
