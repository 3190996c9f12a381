"""The progress of a command: bars on a terminal, log lines with times in a file or a pipe."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum

from lcm_pipeline.cli.log_format import PlainFormatter, logging_to, original_message
from lcm_pipeline.cli.progress_bar import ProgressBar
from lcm_pipeline.model.texts import strip_control_characters
from lcm_pipeline.sync.progress import LoggedProgress, Progress

_PACKAGE = "lcm_pipeline"
# Logs thousands of lines while the server is unreachable.
_RETRIES = "lcm_pipeline.api.retries"

log = logging.getLogger(__name__)


class _AboveBarsHandler(logging.Handler):
    """Prints lines above the bars, which do not say why they rest, without breaking them.

    Not warnings: the handlers of the root logger print these.
    """

    def __init__(self, bars: ProgressBar) -> None:
        super().__init__()
        self._bars = bars
        self.addFilter(_PackageFilter())

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING:
            self._bars.print_line(strip_control_characters(original_message(record)))


class LogFormat(StrEnum):
    """The format of log lines."""

    TEXT = "text"
    JSON = "json"


class _TextFormatter(PlainFormatter):
    """Writes local time with UTC offset, level and message, without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        # The inherited method appends a traceback if there is one.
        return strip_control_characters(
            f"{at:%Y-%m-%d %H:%M:%S%z} {record.levelname:<7} {super().format(record)}"
        )


class _JsonFormatter(logging.Formatter):
    """Writes one JSON object per line; the time is in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": original_message(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class _PackageFilter(logging.Filter):
    """Passes warnings of all loggers, and lower levels only of this package.

    Retries are limited to one line per second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last_retry_line = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            return True
        if record.name == _RETRIES:
            now = time.monotonic()
            if now - self._last_retry_line < 1.0:
                return False
            self._last_retry_line = now
        return record.name.startswith(_PACKAGE)


@contextmanager
def command_progress(
    *, is_verbose: bool = False, is_quiet: bool = False, form: LogFormat | None = None
) -> Iterator[Progress]:
    """Report the progress of a command on standard error while the context is open.

    form: None means bars on a terminal and text elsewhere.
    """
    package = logging.getLogger(_PACKAGE)
    if form is None and sys.stderr.isatty() and not (is_verbose or is_quiet):
        with ProgressBar() as bars, logging_to(_AboveBarsHandler(bars), package):
            yield bars
        return
    level = logging.DEBUG if is_verbose else logging.WARNING if is_quiet else logging.INFO
    passes, package_level = _PackageFilter(), package.level
    handlers = {handler: (handler.level, handler.formatter) for handler in logging.root.handlers}
    package.setLevel(level)
    for handler in handlers:
        handler.setLevel(level)
        handler.setFormatter(_JsonFormatter() if form is LogFormat.JSON else _TextFormatter())
        handler.addFilter(passes)
    try:
        yield LoggedProgress()
    finally:
        package.setLevel(package_level)
        for handler, (handler_level, formatter) in handlers.items():
            handler.setLevel(handler_level)
            handler.setFormatter(formatter)
            handler.removeFilter(passes)
