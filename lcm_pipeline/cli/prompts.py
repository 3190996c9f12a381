"""Confirmation prompts on the terminal."""

import sys

import typer

from lcm_pipeline.model.errors import UsageError


def confirm(question: str) -> None:
    """Ask for confirmation.

    Raises typer.Abort (exit code 1) if it is refused, UsageError without a terminal to ask on.
    """
    try:
        is_confirmed = typer.confirm(question)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        typer.echo("", err=True)
        raise UsageError(
            "nothing was changed: there is no terminal to ask on. Answer yes with --yes"
        ) from None
    if not is_confirmed:
        raise typer.Abort
