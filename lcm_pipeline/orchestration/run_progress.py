"""The progress of a run whose steps are in other processes, read from the ledger."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lcm_pipeline.sync.progress import Progress
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest import watching

logger = logging.getLogger(__name__)

_PROGRESS_SECONDS = 1.0
# A reader that waits for a slow service is silent too, so this is only reported.
_SILENT_SECONDS = 120.0


@contextmanager
def reporting_progress(warehouse: Warehouse, progress: Progress, command_id: int) -> Iterator[None]:
    """Report the progress of a command's runs while the context is open, from a thread."""
    is_over = threading.Event()
    thread = threading.Thread(
        target=_poll_progress,
        args=(warehouse, progress, command_id, is_over),
        name="lcm progress",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _poll_progress(
    warehouse: Warehouse, progress: Progress, command_id: int, is_over: threading.Event
) -> None:
    known: dict[str, watching.RunProgress] = {}
    reported: set[watching.SilentReader] = set()
    check_at = time.monotonic() + _SILENT_SECONDS
    while not is_over.wait(_PROGRESS_SECONDS):
        for run in watching.progress_of_command(warehouse, command_id):
            before = known.get(run.feed)
            if before is None:
                progress.start(run.feed, run.tasks, run.read)
            elif run.read > before.read:
                progress.advance(run.feed, run.read - before.read)
            failed_before = 0 if before is None else before.failed
            if run.failed > failed_before:
                progress.fail(run.feed, run.failed - failed_before)
            known[run.feed] = run
        if time.monotonic() >= check_at:
            check_at = time.monotonic() + _SILENT_SECONDS / 4
            _warn_of_silent_readers(warehouse, command_id, reported)
    for feed in known:
        progress.finish(feed)


def _warn_of_silent_readers(
    warehouse: Warehouse, command_id: int, reported: set[watching.SilentReader]
) -> None:
    """Log each reader that has been silent for long, once per silence; adds it to `reported`."""
    silent = set(watching.silent_readers(warehouse, command_id, _SILENT_SECONDS))
    for reader in sorted(silent - reported):
        logger.warning(
            "%s: waiting for a process that has been silent since %s (from %s, server process %d)."
            " If it is stopped or hangs, continue or end it",
            reader.feed, f"{reader.since:%Y-%m-%d %H:%M} UTC", reader.address, reader.pid,
        )  # fmt: skip
    reported |= silent
