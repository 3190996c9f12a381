"""Ends a process together with the one that started it, however that one ends."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel interrupt this process, as Ctrl-C does, once its parent is gone.

    A parent that is killed cannot stop its children itself. Does nothing except on Linux.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Inherited from a shell that started `lcm ui` in the background: the signal would be lost.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
