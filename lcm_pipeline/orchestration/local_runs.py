"""The runs that live in a command's own process, and what becomes of them when it is killed.

Dagster watches the runs that it starts itself. One that a command runs in its process would stay
"started" for ever after a `kill -9`, so each holds a lock on a file named after it; the kernel lets
go of it with the process, and the next command marks the run as failed.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import dagster as dg

# On a run whose steps are in other processes: the id under which its own process holds a lock.
PROCESS_TAG = "lcm/process"
_FOLDER = "running"


@contextmanager
def local_run_id(home: Path) -> Iterator[str]:
    """The id of a run that lives in this process, for the length of the context."""
    folder = home / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / str(uuid4())
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield path.name
        finally:
            path.unlink(missing_ok=True)


def fail_dead_runs(instance: dg.DagsterInstance, home: Path) -> int:
    """Mark as failed the runs whose process is gone; returns how many."""
    dead = 0
    for path in (home / _FOLDER).glob("*"):
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            own = instance.get_run_by_id(path.name)
            tagged = dg.RunsFilter(tags={PROCESS_TAG: path.name})
            for run in [own] if own else instance.get_runs(tagged, limit=1):
                if run.is_finished:
                    continue
                instance.report_run_failed(
                    run, "The process of the run was killed. What it read is kept: run it again."
                )
                dead += 1
            path.unlink(missing_ok=True)
    return dead
