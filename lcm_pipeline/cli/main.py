"""The app of `lcm`, and the line and the exit code that a process ends with.

Exit codes: 0 done, 1 failed, 2 usage (a wrong option or setting, a database that cannot be used),
3 finished, but with clients pending, rows in quarantine or that differ, or updates not sent, 130
interrupted.
"""

import io
import logging
import sys
from typing import Annotated

import typer

from lcm_pipeline.cli.failures import INTERRUPTED, exit_code_of, explain, message_of
from lcm_pipeline.cli.lazy_group import LazyGroup
from lcm_pipeline.model.texts import tame

app = typer.Typer(
    name="lcm",
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Brings a loyalty programme (LCManagerPartner API) into Postgres, day by day, exactly."
        "\n\nSettings are LCM_* variables, in the environment or in a file .env: see .env.example."
        "\n\nExit codes: 0 done, 1 failed, 2 usage, 3 finished but with clients pending, rows in"
        " quarantine or rows that differ, or updates that were not sent or not taken."
    ),
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        # Imported here: no command needs it, and it costs each of them 15 ms.
        from importlib.metadata import version

        typer.echo(f"lcm {version('lcm-pipeline')}")
        raise typer.Exit


@app.callback()
def _options_of_all_commands(
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
    _log_warnings()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding does not have must not end a finished sync.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            explain("Interrupted. What was done is kept: run the same command again to go on.")
        raise
    except Exception as error:
        code = exit_code_of(error)
        if code is None:
            raise
        explain(message_of(error))
        sys.exit(code)


class _TameFormatter(logging.Formatter):
    """Writes log lines to a terminal, which must not obey a text of the source in them."""

    def format(self, record: logging.LogRecord) -> str:
        return tame(super().format(record))


def _log_warnings() -> None:
    """Log to standard error, warnings and worse."""
    logging.basicConfig()
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_TameFormatter("%(levelname)s %(message)s"))
        # Loggers that others set to INFO reach this handler whatever the root's own level.
        handler.setLevel(logging.WARNING)
