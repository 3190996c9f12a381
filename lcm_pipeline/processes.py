"""Ends a process when the one that started it has ended, however that was: only Linux can."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import cache

_PR_SET_PDEATHSIG = 1


@cache
def libc() -> ctypes.CDLL:
    """The C library, whose functions set errno; loaded once."""
    return ctypes.CDLL(None, use_errno=True)


def request_parent_death_signal(number: signal.Signals) -> None:
    """Have the kernel send a signal to this process when its parent has ended.

    Does nothing except on Linux. The parent may have ended before the request: compare its pid.
    """
    if sys.platform == "linux":
        libc().prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def parent_death_hook(parent: int) -> Callable[[], None]:
    """A preexec function: SIGTERM, Postgres' smart shutdown, is sent when `parent` has died."""
    # Loaded before the fork.
    libc()

    def tie() -> None:
        request_parent_death_signal(signal.SIGTERM)
        # The parent may have died before the signal was requested.
        if os.getppid() != parent:
            os._exit(1)

    return tie
