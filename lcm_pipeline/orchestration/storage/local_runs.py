"""Runs that execute in a command's own process, and their fate when it is killed.

Dagster monitors the runs that it launches itself. A run in the process of a command would stay
"started" forever after a `kill -9`. So each holds a lock on a file named after it; the kernel
releases the lock with the process, and the next command marks the run as failed. A run that the
command leaves before Dagster has started it, as by Ctrl-C, is marked as cancelled by the command.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import dagster as dg

# The id under which the command holds a lock, on a run whose steps are in other processes.
PROCESS_TAG = "lcm/process"
_FOLDER = "running"


@contextmanager
def local_run_id(instance: dg.DagsterInstance, home: Path) -> Iterator[str]:
    """The id of a run in this process, locked while the context is open."""
    folder = home / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / str(uuid4())
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield path.name
        except BaseException:
            # Where this fails the file stays, and the next command marks the run as failed.
            with suppress(Exception):
                for run in _unfinished_runs(instance, path.name):
                    instance.report_run_canceled(run, "The command ended before the run began.")
                path.unlink(missing_ok=True)
            raise
        path.unlink(missing_ok=True)


def fail_dead_runs(instance: dg.DagsterInstance, home: Path) -> int:
    """Mark runs whose process is gone as failed; returns how many."""
    dead = 0
    for path in (home / _FOLDER).glob("*"):
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            for run in _unfinished_runs(instance, path.name):
                instance.report_run_failed(
                    run, "The process of the run was killed. What it read is kept: run it again."
                )
                dead += 1
            path.unlink(missing_ok=True)
    return dead


def _unfinished_runs(instance: dg.DagsterInstance, name: str) -> list[dg.DagsterRun]:
    """Return the run of a file in the folder of running ones, unless it has ended."""
    own = instance.get_run_by_id(name)
    tagged = dg.RunsFilter(tags={PROCESS_TAG: name})
    runs = [own] if own else instance.get_runs(tagged, limit=1)
    return [run for run in runs if not run.is_finished]
