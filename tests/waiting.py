"""Waiting for what another process, thread or server does."""

import time
from collections.abc import Callable
from typing import TypeVar

# Seconds: a machine under load is slow, and a test that passes does not wait for long. Less than
# the time-out of pytest, whose report does not say what was awaited.
PATIENCE = 900.0

ResultT = TypeVar("ResultT")


def wait_for(
    condition: Callable[[], ResultT],
    problem: Callable[[], object] = lambda: "the condition was not met in time",
    *,
    seconds: float = PATIENCE,
) -> ResultT:
    """Wait until a condition is true; returns its value. problem: what to report if it never is."""
    deadline = time.monotonic() + seconds
    while True:
        # Before the condition: a stall of the machine between the two is no failure.
        is_over = time.monotonic() >= deadline
        if value := condition():
            return value
        assert not is_over, problem()
        time.sleep(0.1)
