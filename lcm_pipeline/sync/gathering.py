"""Awaits several calls concurrently, and leaves none of them running."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


async def fetch_concurrently(
    items: Sequence[ItemT], fetch: Callable[[ItemT], Awaitable[ResultT]], *, at_once: int
) -> list[ResultT]:
    """Await `fetch` for each item, at most `at_once` at a time; returns the results in order.

    The first failure cancels the others and is raised.
    """
    if len(items) == 1:
        # Most clients have a single page: do without a task for it.
        return [await fetch(items[0])]
    results: dict[int, ResultT] = {}
    left = iter(enumerate(items))

    async def work() -> None:
        for at, item in left:
            results[at] = await fetch(item)

    tasks = [asyncio.ensure_future(work()) for _ in range(min(at_once, len(items)))]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        # gather does not cancel the others when one of them fails.
        await cancel_all(tasks)
        raise
    return [results[at] for at in range(len(items))]


async def any_true(calls: Iterable[Awaitable[bool]]) -> bool:
    """Await some calls concurrently until one returns True, then cancel the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        for task in asyncio.as_completed(tasks):
            if await task:
                return True
    finally:
        await cancel_all(tasks)
    return False


async def cancel_all(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel some tasks, and return when they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
