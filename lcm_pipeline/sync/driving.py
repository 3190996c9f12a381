"""Drives a reading: sends the requests that it wants, several at once, and hands it the pages."""

import asyncio
from collections.abc import Awaitable, Callable

from lcm_pipeline.model.pages import Ask, Page
from lcm_pipeline.sync.proofs import Reading
from lcm_pipeline.sync.reading import Requests

Fetch = Callable[[Ask], Awaitable[Page]]


async def drive(requests: Requests, fetch: Fetch) -> Reading:
    """Run a reading to its end; raises what the reading or a request raises."""
    asks = next(requests)
    while True:
        pages = await _fetch_all(asks, fetch)
        try:
            asks = requests.send(pages)
        except StopIteration as stop:
            reading: Reading = stop.value
            return reading


async def _fetch_all(asks: list[Ask], fetch: Fetch) -> list[Page]:
    if len(asks) == 1:
        return [await fetch(asks[0])]
    tasks = [asyncio.ensure_future(fetch(ask)) for ask in asks]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
