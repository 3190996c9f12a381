"""Signals of a process: handled or blocked for a while, or sent when its parent has ended."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

# Ctrl-C, a request to end, and the end of the terminal.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


@contextmanager
def handling_signals(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    """Handle signals by these within the context, and afterwards as before it.

    Does nothing in another thread than the main one: Python lets only that one set a handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def blocking_signals(numbers: Collection[signal.Signals]) -> Iterator[None]:
    """Deliver signals at the end of the context; a process started within it blocks them too."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@cache
def libc() -> ctypes.CDLL:
    """The C library, whose functions set errno; loaded once."""
    return ctypes.CDLL(None, use_errno=True)


def parent_death_hook(parent: int, number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A preexec function: the kernel sends a signal when `parent` has died; only Linux can.

    SIGTERM is the smart shutdown of Postgres.
    """
    # Loaded before the fork.
    libc()

    def tie() -> None:
        if sys.platform == "linux":
            libc().prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        # The parent may have died before the signal was requested.
        if os.getppid() != parent:
            os._exit(1)

    return tie
