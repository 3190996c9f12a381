"""The `lcm` command: parses, calls, prints, and turns what went wrong into a line and an exit code.

Exit codes: 0 done, 1 failed, 2 usage (a wrong option or setting, a database that cannot be used),
3 finished, but with clients pending, rows in quarantine or that differ, or updates not sent, 130
interrupted.
Commands import what they need when they run: `lcm --help` does not wait for Dagster.
"""

import sys

import typer

from lcm_pipeline.cli import commands
from lcm_pipeline.cli.failures import INTERRUPTED, exit_code_of, explain

app = typer.Typer(
    name="lcm",
    no_args_is_help=True,
    add_completion=False,
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
commands.register(app)


def main() -> None:
    """Run the command line; ends the process."""
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
        explain(str(error).strip())
        sys.exit(code)
