"""What log lines have in common, on a terminal and elsewhere."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class PlainFormatter(logging.Formatter):
    """Formats the message as it was logged.

    In a run, Dagster replaces it by one that begins with the job, the run and the step: a hundred
    characters that say nothing new, as the process has one run.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of logging
        """Format a record; `Formatter.format` calls it, and appends a traceback if there is one."""
        record.message = original_message(record)
        return super().formatMessage(record)


def original_message(record: logging.LogRecord) -> str:
    """The message of a record, without what Dagster puts before it."""
    # Dagster stores it in this attribute; a test fails if a version does not.
    replaced = getattr(record, "dagster_meta", None)
    return record.getMessage() if replaced is None else str(replaced["orig_message"])


@contextmanager
def logging_to(handler: logging.Handler, logger: logging.Logger) -> Iterator[None]:
    """Pass what a logger logs to one more handler, from INFO on, while the context is open."""
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
