"""Ends a process together with the process that started it, however that one ends."""

import os
import signal
import sys

from lcm_pipeline.processes import request_parent_death_signal

# The variable with the pid of the parent. Not named LCM_*, which would make it a setting.
PARENT = "DAGSTER_UI_PARENT"


def end_with_parent() -> None:
    """Have the kernel interrupt this process, as Ctrl-C does, when its parent has ended.

    A parent that is killed cannot stop its children itself. Does nothing except on Linux. Ends this
    process if the parent, whose pid is in the variable PARENT, has already ended.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Inherited from a shell that started `lcm ui` in the background: the signal would be lost.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    parent = os.environ.pop(PARENT, None)
    if sys.platform == "linux":
        request_parent_death_signal(signal.SIGINT)
        # The signal is sent only if the parent ends after the call above: it may have been killed
        # while this process was importing its modules.
        if parent is not None and os.getppid() != int(parent):
            sys.exit(1)
