"""The command that writes profiles back."""

from pathlib import Path
from typing import Annotated

import typer


def push(
    csv: Annotated[
        Path | None,
        typer.Option(help="Put this file into the outbox first: client_id and profile fields."),
    ] = None,
    undo: Annotated[
        int | None, typer.Option(min=1, help="Take back the push of that number instead.")
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", min=1, help="Send at most so many updates.")
    ] = None,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent; send and store nothing.")
    ] = False,
) -> None:
    """Send what waits in outbox.profile_updates to the API, one update of a client at a time.

    The first LCM_PUSH_CANARY updates are a trial: when too many of them fail, the rest stays where
    it is (exit code 1). Updates that break a rule are rejected and never sent, fields equal to
    those last sent are left out. Exit code 3 says that some updates were not sent, or not taken
    whole. Stopped or killed, the same command goes on, and nothing overtakes.

    Examples: [bold]lcm push --csv names.csv --dry-run[/bold], [bold]lcm push --max 100[/bold],
    [bold]lcm push --undo 7[/bold]
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()
    if undo is not None and csv is not None:
        raise typer.BadParameter("give either --csv or --undo")
    if not is_dry:
        settings.required_api_url()

    from lcm_pipeline.cli import pushing

    if is_dry:
        code = (
            pushing.look(settings, csv, most)
            if undo is None
            else pushing.look_at_undo(settings, undo)
        )
    elif undo is not None:
        code = pushing.undo(settings, undo, most)
    else:
        code = pushing.push(settings, csv, most)
    if code:
        raise typer.Exit(code)
