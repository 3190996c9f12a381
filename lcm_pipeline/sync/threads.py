"""Blocking work beside the event loop, which is never left behind at work when the loop ends.

A cancelled `asyncio.to_thread` returns at once, and its thread goes on with a
session that is closed under it. Here a cancelled caller waits until the thread is done.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from lcm_pipeline.warehouse.sessions import ReconnectingSession

ResultT = TypeVar("ResultT")

_AGAIN_SECONDS = 0.2


async def run_in_thread(
    work: Callable[[], ResultT], *, cancel_session: ReconnectingSession | None = None
) -> ResultT:
    """Do blocking work in a thread; a cancelled caller waits for its end.

    cancel_session: the session whose statements are cancelled on the server then; None for brief
    work, which runs to its end.
    """
    # A future and no task: what ends the loop cancels all tasks, and would not wait for the thread.
    task = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            if cancel_session is not None:
                cancel_session.cancel()
            # Who is cancelled with a group of tasks may be so twice.
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task], timeout=_AGAIN_SECONDS)
        if not task.cancelled():
            task.exception()
        raise
