"""Signals of a process, and programs that are started with a function of ours before them.

Python forks for such a function, and libraries run code of theirs around a fork, in both processes.
An exception that is raised there is printed and dropped, and so was a Ctrl-C: all such programs are
started by `start_prepared` or `run_prepared`. Without such a function Python runs no code of
libraries.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from types import FrameType
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
    # A handler that is set again may raise an exception before the others are.
    with ExitStack() as former:
        for number, handler in handlers.items():
            former.callback(signal.signal, number, signal.getsignal(number))
            signal.signal(number, handler)
        yield


@contextmanager
def _delaying(numbers: Collection[signal.Signals]) -> Iterator[None]:
    """Handle these signals at the end of the context.

    They are not blocked: another thread would get them, for which Python calls the handler in the
    main thread all the same, and a program that is started would inherit the block.
    """
    arrived: list[int] = []

    def delay(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    try:
        with handling_signals(dict.fromkeys(numbers, delay)):
            yield
    finally:
        for number in arrived:
            signal.raise_signal(number)


def start_prepared(
    command: Sequence[str], prepare: Callable[[], None], **options: Any
) -> subprocess.Popen[Any]:
    """Start a program; `prepare` is called in the new process before it. options: of Popen.

    A stop signal that comes meanwhile is handled at the end, and if that raises an exception, the
    program is killed.
    """
    handled = [number for number in STOP_SIGNALS if callable(signal.getsignal(number))]

    def prepare_unhandled() -> None:
        # As in the program. Our handlers would run in the copy of this process that becomes it, and
        # the signal be lost, as the one for the death of the parent.
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        prepare()

    process: subprocess.Popen[Any] | None = None
    try:
        with _delaying(handled):
            process = subprocess.Popen(  # noqa: S603 - our own command
                command, preexec_fn=prepare_unhandled, **options
            )
    except BaseException:
        if process is not None:
            with process:
                process.kill()
        raise
    return process


def run_prepared(
    command: Sequence[str],
    prepare: Callable[[], None],
    *,
    given: bytes | str | None = None,
    timeout: float | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Run a program as `start_prepared` does, to its end. given: its input.

    timeout: seconds. Raises TimeoutExpired. The program is killed when an exception is raised.
    """
    source = subprocess.DEVNULL if given is None else subprocess.PIPE
    with start_prepared(command, prepare, stdin=source, **options) as process:
        try:
            output, errors = process.communicate(given, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@cache
def libc() -> ctypes.CDLL:
    """The C library, whose functions set errno; loaded once."""
    return ctypes.CDLL(None, use_errno=True)


def parent_death_hook(parent: int, number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A function for `start_prepared`: the kernel sends a signal when `parent` has died.

    Only Linux can. SIGTERM is the smart shutdown of Postgres.
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
