"""Runs a program of `lcm ui`: the web server or Dagster's daemon.

`python -m lcm_pipeline.orchestration.ui.runner MODULE …` passes the other arguments to the module.
"""

import os
import runpy
import signal
import sys

from lcm_pipeline.processes import STOP_SIGNALS

_INTERRUPTED = 130


if __name__ == "__main__":
    # For the seconds of the imports, which have nothing to clean up: an exception would be printed
    # with its traceback. The module sets its own handler when it begins.
    signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    # lcm ui starts it with these blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
