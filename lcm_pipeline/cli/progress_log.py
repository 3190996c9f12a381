"""The progress of a command: bars on a terminal, log lines with times in a file or a pipe."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum

from lcm_pipeline.cli.log_format import PlainFormatter, logging_to, original_message
from lcm_pipeline.cli.progress_bar import ProgressBar
from lcm_pipeline.model.texts import strip_control_characters
from lcm_pipeline.sync.progress import LoggedProgress, Progress

_PACKAGE = "lcm_pipeline"

log = logging.getLogger(__name__)


class _AboveBarsHandler(logging.Handler):
    """Prints lines above the bars, which do not say why they rest, without breaking them.

    Not warnings: the handlers of the root logger print these.
    """

    def __init__(self, bars: ProgressBar) -> None:
        super().__init__()
        self._bars = bars
        self.addFilter(_is_shown)

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


def _is_shown(record: logging.LogRecord) -> bool:
    """Whether it is a warning of any logger, or any line of this package."""
    return record.levelno >= logging.WARNING or record.name.startswith(_PACKAGE)


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
    package_level = package.level
    handlers = {handler: (handler.level, handler.formatter) for handler in logging.root.handlers}
    package.setLevel(level)
    for handler in handlers:
        handler.setLevel(level)
        handler.setFormatter(_JsonFormatter() if form is LogFormat.JSON else _TextFormatter())
        handler.addFilter(_is_shown)
    try:
        yield LoggedProgress()
    finally:
        package.setLevel(package_level)
        for handler, (handler_level, formatter) in handlers.items():
            handler.setLevel(handler_level)
            handler.setFormatter(formatter)
            handler.removeFilter(_is_shown)
