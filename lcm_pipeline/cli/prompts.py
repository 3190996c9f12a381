"""Questions on the terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from lcm_pipeline.model.errors import UsageError


@contextmanager
def needing_a_terminal(message: str) -> Iterator[None]:
    """Raise UsageError with the message if a question ends without an answer or a terminal."""
    try:
        yield
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        typer.echo("", err=True)
        raise UsageError(message) from None


def confirm(question: str) -> None:
    """Ask for confirmation.

    Raises typer.Abort (exit code 1) if it is refused, UsageError without a terminal to ask on.
    """
    with needing_a_terminal(
        "nothing was changed: there is no terminal to ask on. Answer yes with --yes"
    ):
        is_confirmed = typer.confirm(question)
    if not is_confirmed:
        raise typer.Abort
