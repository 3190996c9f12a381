"""Shows the progress of a run whose steps are in other processes, from the ledger."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lcm_pipeline.sync.engine import SyncEngine

_EVERY_SECONDS = 1.0


@contextmanager
def following(engine: SyncEngine, command_id: int) -> Iterator[None]:
    """Report the progress of a command's runs while the context is open, from a thread."""
    is_over = threading.Event()
    thread = threading.Thread(
        target=_follow, args=(engine, command_id, is_over), name="lcm progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _follow(engine: SyncEngine, command_id: int, is_over: threading.Event) -> None:
    done: dict[str, int] = {}
    failures: dict[str, int] = {}
    while not is_over.wait(_EVERY_SECONDS):
        for feed, tasks, read, failed in engine.progress_of(command_id):
            if feed not in done:
                engine.progress.start(feed, tasks, read)
            elif read > done[feed]:
                engine.progress.advance(feed, read - done[feed])
            if failed > failures.get(feed, 0):
                engine.progress.fail(feed, failed - failures.get(feed, 0))
            done[feed], failures[feed] = read, failed
    for feed in done:
        engine.progress.finish(feed)
