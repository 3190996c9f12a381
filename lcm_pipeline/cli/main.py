"""The Typer app of `lcm` and its entry point.

Exit codes: 0 done, 1 failed, 2 usage (a wrong option or setting, a database that cannot be used),
3 finished, but clients are pending, rows are in quarantine or differ, or updates were not sent,
130 interrupted, by Ctrl-C, SIGTERM or the end of the terminal.
"""

import errno
import io
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn, TextIO

import typer

from lcm_pipeline.cli.failures import (
    INTERRUPTED,
    exit_code_of,
    has_interrupt,
    interrupt_message,
    message_of,
    print_message,
)
from lcm_pipeline.cli.lazy_group import CommandCall, LazyGroup
from lcm_pipeline.cli.log_format import PlainFormatter
from lcm_pipeline.model.texts import strip_control_characters

_REPEAT_SECONDS = 0.01

app = typer.Typer(
    name="lcm",
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Syncs a loyalty programme (LCManagerPartner API) into Postgres, day by day, exactly."
        "\n\nSettings are LCM_* variables, in the environment or in a file .env: see .env.example."
        "\n\nExit codes: 0 done, 1 failed, 2 usage, 3 finished but clients are pending, rows are in"
        " quarantine or differ, or updates were not sent or not accepted."
    ),
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        # Imported here because it takes 15 ms and no command needs it.
        from importlib.metadata import version

        typer.echo(f"lcm {version('lcm-pipeline')}")
        raise typer.Exit


@app.callback()
def _global_options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; ends the process."""
    _open_closed_streams()
    # Whoever calls this function may have replaced it by a stream in memory.
    with suppress(io.UnsupportedOperation):
        sys.stderr = _lossy_stderr()
    _set_missing_home()
    _log_warnings()
    sys.unraisablehook = _repeat_lost_interrupt
    signal.signal(signal.SIGTERM, _interrupt)
    # The end of the terminal, unless nohup ignores it.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding cannot represent must not fail a finished sync.
        sys.stdout.reconfigure(errors="backslashreplace")
    call = CommandCall()
    try:
        try:
            app(obj=call)
        finally:
            _flush_output()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _end_interrupted(call)
        raise
    except Exception as error:
        code = exit_code_of(error)
        if code is None and has_interrupt(error):
            _end_interrupted(call)
        if code is None:
            raise
        print_message(message_of(error, is_resumable=call.is_resumable))
        sys.exit(code)


def _end_interrupted(call: CommandCall) -> NoReturn:
    """End the process at once.

    Python would wait for the threads of a second Ctrl-C, which may wait for a database that does
    not answer.
    """
    print_message(interrupt_message(is_resumable=call.is_resumable))
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _flush_output() -> None:
    """Write what is left of the output, so that a full disk is reported as any other error.

    Python would do so after the exit code is decided: it prints a traceback and exits with 120. If
    the command has failed already, that error takes precedence.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python flushes once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        ended = error.__context__
        if ended is not None and not (isinstance(ended, SystemExit) and not ended.code):
            return
        if error.errno == errno.EPIPE:
            # The reader of a pipe has seen enough: as Click ends a command that prints more.
            sys.exit(1)
        raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM of a service manager, and the end of the terminal, like Ctrl-C.

    asyncio and Dagster replace the handler of Ctrl-C for a while, so it is looked up each time. A
    shell's background job ignores Ctrl-C, but not SIGTERM.
    """
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(number, frame)
    else:
        raise KeyboardInterrupt


def _repeat_lost_interrupt(lost: "sys.UnraisableHookArgs") -> None:
    """Repeat an interrupt that came while Python ran a callback or `__del__` of the collector.

    Python prints a traceback of it and goes on, as there is nobody to raise it in.
    """
    if not _is_interrupt(lost.exc_type):
        sys.__unraisablehook__(lost)
        return
    # Later, as the handler runs in the main thread, which is in this function. Not SIGINT, which a
    # background job of a shell ignores.
    timer = threading.Timer(_REPEAT_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    # Python starts no thread any more while it ends.
    with suppress(RuntimeError):
        timer.start()


def _open_closed_streams() -> None:
    """Open standard streams that the caller closed, on the null device.

    Otherwise the next file or socket would get the number of the closed one, and what a child such
    as the embedded Postgres prints would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, which is this one.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
    # Python has left those of closed numbers at None.
    sys.stdin = sys.stdin or os.fdopen(0, "r", encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


class _LossyFile(io.FileIO):
    """Loses what cannot be written."""

    def write(self, data: Any) -> int:
        written = None
        with suppress(OSError):
            # None if a pipe takes no more for now.
            written = super().write(data)
        return len(data) if written is None else written


def _lossy_stderr() -> TextIO:
    """Return standard error that loses messages where the disk is full or a pipe has no reader.

    The exit code says how the command ended, not whether its log could be written. Python would
    exit with 120, and a progress line or an error message would fail the command.
    """
    return io.TextIOWrapper(
        io.BufferedWriter(_LossyFile(sys.stderr.fileno(), "w", closefd=False)),
        encoding=sys.stderr.encoding,
        errors=sys.stderr.errors,
        line_buffering=True,
    )


def _set_missing_home() -> None:
    """Set HOME as Docker does for a user that has none, such as a random user id of a container.

    Libraries look for their cache in it when they are imported, and fail without one.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"


class _SafeFormatter(PlainFormatter):
    """Removes control characters that texts of the source may contain."""

    def format(self, record: logging.LogRecord) -> str:
        return strip_control_characters(super().format(record))


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    """Whether it is not about Ctrl-C, which SQLAlchemy logs as an error before it raises it."""
    return record.exc_info is None or not _is_interrupt(record.exc_info[0])


def _is_interrupt(raised: type[BaseException] | None) -> bool:
    """Whether it is KeyboardInterrupt, or what Dagster raises instead while it runs steps."""
    others = (Exception, SystemExit, GeneratorExit)
    return raised is not None and not issubclass(raised, others)


def _log_warnings() -> None:
    """Log warnings and errors to standard error."""
    logging.basicConfig()
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_SafeFormatter("%(levelname)s %(message)s"))
        # A library's logger that is set to INFO bypasses the level of the root logger.
        handler.setLevel(logging.WARNING)
        handler.addFilter(_is_no_interrupt)
    # It warns of errors that it ignores because of another one, which is reported.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
