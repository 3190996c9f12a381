"""Importing much at once, quickly.

The garbage collector looks through all objects again and again while a library makes them, and
what a library makes at its import is never garbage: with Dagster that is a third of the time. What
was made is then set aside, so that no later collection looks at it either.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def large_imports() -> Iterator[None]:
    """Import within this context what a command needs."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
