"""Stop signals that come in the moment in which a program is started."""

import signal
import subprocess
import sys
from itertools import product

import pytest

from tests.architecture.repository import ROOT, repository_files
from tests.waiting import PATIENCE

# Interrupts itself in the fork, as Ctrl-C may, while another thread runs.
_SCRIPT = """
import os, signal, sys, threading
from lcm_pipeline.processes import run_prepared, start_prepared

# A background job of a shell, in which the tests may run, ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
phase, function = sys.argv[1:]
threading.Thread(target=threading.Event().wait, daemon=True).start()
this = os.getpid()

def interrupt():
    if os.getpid() == this:
        os.kill(this, signal.SIGINT)

os.register_at_fork(**{phase: interrupt})
words = [sys.executable, "-c", "import time; time.sleep(600)"]
try:
    {"start": start_prepared, "run": run_prepared}[function](words, lambda: None)
except KeyboardInterrupt:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("interrupted, and no program runs")
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
os._exit(0)
"""


@pytest.mark.parametrize(
    ("phase", "function"), list(product(["before", "after_in_parent"], ["start", "run"]))
)
def test_ctrl_c_in_the_moment_of_a_fork_is_not_lost(phase: str, function: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT, phase, function],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert ended.stdout.splitlines() == ["interrupted, and no program runs", "True"]
    assert ended.stderr == ""


def test_a_started_program_gets_stop_signals_and_ignores_what_its_parent_ignores() -> None:
    script = """
import signal, sys
from lcm_pipeline.processes import run_prepared

signal.signal(signal.SIGHUP, signal.SIG_IGN)
code = "import signal; print(*signal.pthread_sigmask(0, ()), int(signal.getsignal(signal.SIGHUP)))"
run_prepared([sys.executable, "-c", code], lambda: None)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert ended.stdout.split() == [str(int(signal.SIG_IGN))]


def test_a_stop_signal_before_a_program_begins_ends_it() -> None:
    script = """
import os, signal, sys, time
from lcm_pipeline.processes import parent_death_hook, start_prepared

signal.signal(signal.SIGTERM, signal.default_int_handler)
tie_to_parent = parent_death_hook(os.getpid())

def prepare():
    tie_to_parent()
    os.kill(os.getpid(), signal.SIGTERM)

program = start_prepared([sys.executable, "-c", "print('runs')"], prepare)
print(program.wait())
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert ended.stdout.split() == [str(-signal.SIGTERM)]


def test_an_interrupt_while_handlers_are_set_again_leaves_none_behind() -> None:
    script = """
import os, signal
from lcm_pipeline.processes import handling_signals

def ignore(number, frame):
    pass

signal.signal(signal.SIGTERM, ignore)
signal.signal(signal.SIGINT, signal.default_int_handler)
set_handler = signal.signal

def set_and_interrupt(number, handler):
    set_handler(number, handler)
    if handler is signal.default_int_handler:
        os.kill(os.getpid(), signal.SIGINT)

signal.signal = set_and_interrupt
others = dict.fromkeys((signal.SIGTERM, signal.SIGINT), lambda *_: None)
try:
    with handling_signals(others):
        pass
except KeyboardInterrupt:
    print(
        signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        signal.getsignal(signal.SIGTERM) is ignore,
    )
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert ended.stdout.split() == ["True", "True"]


def test_no_other_module_calls_a_function_of_its_own_in_a_fork() -> None:
    sources = [path for path in repository_files("lcm_pipeline") if path.suffix == ".py"]
    found = [str(path) for path in sources if "preexec_fn" in (ROOT / path).read_text()]
    assert found == ["lcm_pipeline/processes.py"]
