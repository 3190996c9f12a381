"""Importing much at once, quickly.

The garbage collector looks through all objects again and again while a library makes them, and
what a library makes at its import is never garbage: with Dagster that is a third of the time. What
was made is then set aside, so that no later collection looks at it either; and collections become
rarer, as thousands of requests in flight make many objects and hardly any garbage in circles: they
took a tenth of a sync's time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Objects made before a collection, and collections before one of the older objects.
_RARELY = (20_000, 20, 20)


@contextmanager
def large_imports() -> Iterator[None]:
    """Import within this context what a command needs."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*_RARELY)
        gc.enable()
