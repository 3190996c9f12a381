"""Waiting for what should happen by itself, but not for long."""

import time
from collections.abc import Callable


def comes_true(condition: Callable[[], bool], *, within: float, pause: float = 0.05) -> bool:
    """Check a condition until it is true, at least once; False if it is not `within` seconds.

    pause: seconds between two checks.
    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True
