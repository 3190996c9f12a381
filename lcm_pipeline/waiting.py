"""Waits for a condition, for some seconds at most."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], *, within: float, pause: float = 0.05) -> bool:
    """Check a condition until it is true; returns False if it is not within so many seconds.

    It is checked at least once. pause: seconds between two checks.
    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True
