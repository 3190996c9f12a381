"""Errors about what a source sent while one client, or one day of the roster, was read."""

from collections.abc import Hashable


class UnprovenReadingError(Exception):
    """The responses could not be proven complete; the message says why."""


class SourceChangedError(Exception):
    """The source changed during a scan, or does not page as it should; the scan is repeated.

    seen: keys of the rows received until then. total: what the source claimed at first.
    """

    seen: tuple[Hashable, ...] = ()
    total: int | None = None
