"""The progress of a computation of marts, logged: a single statement may take many minutes."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 10.0


@contextmanager
def logged_progress(total: int) -> Iterator[Callable[[str], None]]:
    """Log every ten seconds which of so many marts is being computed, and for how long.

    Yields a function to call with the name of each mart as its computation begins.
    """
    begun: list[tuple[str, float]] = []
    is_over = threading.Event()

    def log() -> None:
        while not is_over.wait(_EVERY_SECONDS):
            if begun:
                name, began = begun[-1]
                seconds = time.monotonic() - began
                logger.info(
                    "marts: %s of %s done, %s takes %.0f s so far",
                    len(begun) - 1, total, name, seconds,
                )  # fmt: skip

    # A thread, as the session of this one waits for the server.
    thread = threading.Thread(target=log, name="lcm marts progress", daemon=True)
    thread.start()
    try:
        yield lambda name: begun.append((name, time.monotonic()))
    finally:
        is_over.set()
        thread.join()
