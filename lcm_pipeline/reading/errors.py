"""Verdicts on what a source sent while one client was read; neither is a defect."""

from collections.abc import Hashable


class UnprovenReadingError(Exception):
    """The responses could not be shown to be complete; the message says what did not add up."""


class SourceChangedError(Exception):
    """The source changed while it was scanned, or does not page as it should: scan again.

    seen: keys that were served until then. total: what the source claimed at first.
    """

    seen: tuple[Hashable, ...] = ()
    total: int | None = None
