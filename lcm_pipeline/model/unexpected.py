"""Logs where unexpected errors were raised, without their messages: those may quote a person."""

import logging
import traceback

# Of each error in a chain: a recursion may have thousands.
_MAX_FRAMES = 20


class UnexpectedErrorLog:
    """Logs unexpected errors: frames and class names, of each place once.

    A service may send the same odd bytes for every client, so repetitions are logged for debugging
    only. level: of the first line about a place.
    """

    def __init__(self, logger: logging.Logger, level: int = logging.ERROR) -> None:
        self._logger = logger
        self._level = level
        self._seen: set[str] = set()

    def record(self, subject: object, error: BaseException) -> None:
        """Log where an error, and those that caused it, were raised. subject: begins the line."""
        chain: list[BaseException] = []
        cause: BaseException | None = error
        while cause is not None and cause not in chain:
            chain.append(cause)
            cause = cause.__cause__ or cause.__context__
        where = "".join(
            f"{''.join(traceback.format_tb(one.__traceback__, -_MAX_FRAMES))}{type(one).__name__}\n"
            for one in reversed(chain)
        )
        level = logging.DEBUG if where in self._seen else self._level
        self._seen.add(where)
        name = type(error).__name__
        self._logger.log(
            level, "%s: unexpected error: %s, raised at\n%s", subject, name, where.rstrip()
        )
