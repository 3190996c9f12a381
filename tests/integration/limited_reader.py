"""A process that sends requests under the shared limits and records when each was sent.

Run as `python -m tests.integration.limited_reader DATABASE PRIORITY STOP FILE`, with the limits in
LCM_* variables. It runs until the file STOP exists. FILE gets a line per request: its start and its
end, in seconds of the machine's monotonic clock. A request is simulated by a sleep.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import TextIO

from lcm_pipeline.api.clocks import SYSTEM_CLOCK
from lcm_pipeline.api.rate_limit import RequestGate
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.sync.shared_limits import Priority, sharing_limits
from lcm_pipeline.warehouse.connection import Warehouse

LATENCY = 0.1


async def send(
    settings: Settings, warehouse: Warehouse, priority: Priority, stop: Path, log: TextIO
) -> None:
    """Send as many requests as the limits allow."""
    gate = RequestGate(settings.concurrency, settings.max_rps, SYSTEM_CLOCK)

    async def send_one_after_another() -> None:
        while not stop.exists():  # noqa: ASYNC240 - short, and nothing else waits for it
            async with gate:
                left = time.monotonic()
                await asyncio.sleep(LATENCY)
                ended = time.monotonic()
            print(left, ended, file=log, flush=True)

    async with sharing_limits(settings, warehouse, gate, priority):
        await asyncio.gather(*(send_one_after_another() for _ in range(settings.concurrency)))


def main() -> None:
    """Parse the arguments and send requests."""
    database, priority, stop, path = sys.argv[1:]
    with Path(path).open("w") as log:
        asyncio.run(
            send(
                load_settings(),
                Warehouse(database),
                Priority[priority],
                Path(stop),
                log,
            )
        )


if __name__ == "__main__":
    main()
