"""What `lcm sync` says meanwhile: bars on a terminal, lines with times in a file or a pipe."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum

from lcm_pipeline.cli.progress_bar import ProgressBar
from lcm_pipeline.model.texts import tame
from lcm_pipeline.sync.progress import LoggedProgress, Progress

_OURS = "lcm_pipeline"
# Its lines come by the thousand when the server is away.
_RETRIES = "lcm_pipeline.api.retries"

log = logging.getLogger("lcm_pipeline.cli.sync")


class _AboveBars(logging.Handler):
    """Prints lines where they do not break the bars."""

    def __init__(self, bars: ProgressBar) -> None:
        super().__init__(logging.INFO)
        self._bars = bars

    def emit(self, record: logging.LogRecord) -> None:
        self._bars.say(tame(record.getMessage()))


@contextmanager
def _retries_above(bars: ProgressBar) -> Iterator[None]:
    """What is done now, and that a call waits to be tried again: a bar that rests says nothing."""
    handler = _AboveBars(bars)
    handler.addFilter(_OursOnly())
    watched = [logging.getLogger(name) for name in (_RETRIES, log.name)]
    for logger in watched:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger in watched:
            logger.removeHandler(handler)


class LogFormat(StrEnum):
    """How a line is written."""

    TEXT = "text"
    JSON = "json"


class _TextFormatter(logging.Formatter):
    """Local time with its offset, level, message; nothing that a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        # The inherited one adds the traceback, where there is one.
        return tame(f"{at:%Y-%m-%d %H:%M:%S%z} {record.levelname:<7} {super().format(record)}")


class _JsonFormatter(logging.Formatter):
    """One object a line; the time is in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


class _OursOnly(logging.Filter):
    """Lets warnings of everybody pass, and of lesser lines those of this project.

    Of retries one line a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            return True
        if record.name == _RETRIES:
            now = time.monotonic()
            if now - self._said < 1.0:
                return False
            self._said = now
        return record.name.startswith(_OURS)


@contextmanager
def sync_progress(
    *, is_verbose: bool, is_quiet: bool, form: LogFormat | None
) -> Iterator[Progress]:
    """How a sync tells its progress on standard error; the logging of the process is set for it.

    form: None for bars on a terminal, and for text elsewhere.
    """
    if form is None and sys.stderr.isatty() and not (is_verbose or is_quiet):
        with ProgressBar() as bars, _retries_above(bars):
            yield bars
        return
    level = logging.DEBUG if is_verbose else logging.WARNING if is_quiet else logging.INFO
    logging.getLogger(_OURS).setLevel(level)
    for handler in logging.getLogger().handlers:
        handler.setLevel(level)
        handler.setFormatter(_JsonFormatter() if form is LogFormat.JSON else _TextFormatter())
        handler.addFilter(_OursOnly())
    yield LoggedProgress()
