"""Blocking work in a thread that never outlives its caller.

A cancelled `asyncio.to_thread` returns at once, while its thread goes on with a session that is
closed in the meantime. Here a cancelled caller waits until the thread has finished.
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
    """Run blocking work in a thread; a cancelled caller waits for it to finish.

    cancel_session: the session whose statement is cancelled on the server in that case; None for
    brief work, which runs to completion.
    """
    # A future, not a task: asyncio.run cancels all tasks at its end and would not wait for the
    # thread.
    task = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            if cancel_session is not None:
                cancel_session.cancel()
            # A caller in a group of tasks may be cancelled a second time.
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task], timeout=_AGAIN_SECONDS)
        if not task.cancelled():
            task.exception()
        raise
