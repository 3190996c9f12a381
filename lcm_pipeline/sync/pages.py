"""Drives a reading: sends the requests that it yields, and passes the pages back to it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from lcm_pipeline.model.pages import Page, PageRequest
from lcm_pipeline.reading.fingerprint import Reading
from lcm_pipeline.reading.proof import ReadingRequests

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

Fetch = Callable[[PageRequest], Awaitable[Page]]


async def drive(requests: ReadingRequests, fetch: Fetch) -> Reading:
    """Run a reading to completion; raises what the reading or a request raises."""
    batch = next(requests)
    while True:
        pages = await fetch_together(batch, fetch, at_once=len(batch))
        try:
            batch = requests.send(pages)
        except StopIteration as stop:
            reading: Reading = stop.value
            return reading


async def fetch_together(
    items: Sequence[ItemT], fetch: Callable[[ItemT], Awaitable[ResultT]], *, at_once: int
) -> list[ResultT]:
    """Await `fetch` for each item, at most `at_once` at a time; returns the results in order.

    The first failure cancels the others and is raised.
    """
    if len(items) == 1:
        return [await fetch(items[0])]
    results: dict[int, ResultT] = {}
    left = iter(enumerate(items))

    async def work() -> None:
        for at, item in left:
            results[at] = await fetch(item)

    tasks = [asyncio.ensure_future(work()) for _ in range(min(at_once, len(items)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return [results[at] for at in range(len(items))]


async def any_true(calls: Iterable[Awaitable[bool]]) -> bool:
    """Await some calls concurrently until one returns True, then cancel the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        for task in asyncio.as_completed(tasks):
            if await task:
                return True
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return False
