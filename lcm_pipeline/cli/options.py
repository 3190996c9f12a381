"""Options that several commands share, and the parsers of their values."""

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from lcm_pipeline.files import existing_folder
from lcm_pipeline.model.integers import LARGEST_INTEGER
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings


def parse_day(text: str) -> date:
    """Parse a day in ISO 8601, such as 2026-03-01; raises BadParameter."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a day: expected one such as 2026-03-01"
        ) from None


DayOption = Annotated[
    date | None,
    typer.Option("--date", parser=parse_day, metavar="DAY", help="One business day."),
]
FromOption = Annotated[
    date | None,
    typer.Option("--from", parser=parse_day, metavar="DAY", help="First day, included."),
]
ToOption = Annotated[
    date | None,
    typer.Option("--to", parser=parse_day, metavar="DAY", help="Last day, included."),
]

YesterdayOption = Annotated[
    bool, typer.Option("--yesterday", help="The last day that has ended, in LCM_TIMEZONE.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
# Others than `--client` of `feed_options`. Numbers below 1 are stand-ins of erased persons.
ClientArgument = Annotated[
    int,
    typer.Argument(min=1, max=LARGEST_INTEGER, metavar="CLIENT", help="The client's id."),
]
HostOption = Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")]


def writable_file(text: str) -> Path:
    """Parse the path of a file to create in its folder, or to replace; `-` is standard output."""
    path = Path(text)
    return _require_file(path, path.resolve().parent)


def creatable_file(text: str) -> Path:
    """As writable_file, for a command that creates the folders of the path."""
    path = Path(text)
    return _require_file(path, existing_folder(path.resolve().parent))


def writable_folder(text: str) -> Path:
    """Parse the path of a folder to create or to write to; `-` is refused: there are many files."""
    path = Path(text)
    if str(path) == "-":
        raise typer.BadParameter("several files cannot go to standard output: name a folder")
    _require_writable(existing_folder(path.resolve()))
    return path


def _require_file(path: Path, folder: Path) -> Path:
    if str(path) == "-":
        return path
    if path.exists() and not path.is_file():
        raise typer.BadParameter(f"'{path}' is not a file: name another path")
    _require_writable(folder)
    return path


def _require_writable(folder: Path) -> None:
    if not folder.exists():
        raise typer.BadParameter(f"there is no folder {folder}: create it, or name another path")
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise typer.BadParameter(f"{folder} is not a writable folder: name another path")


def output_option(default: str) -> Any:
    """An option for the file that a command writes. default: its name in the help."""
    return typer.Option(
        parser=writable_file,
        metavar="FILE",
        help="File to write, - for standard output.",
        show_default=default,
    )


def window_of(
    settings: Settings, day: date | None, first: date | None, last: date | None
) -> Window:
    """Return the window that the options name; raises BadParameter if it is missing or invalid."""
    if day is not None and first is None and last is None:
        first = last = day
    if day is not None and (first, last) != (day, day):
        raise typer.BadParameter("give either --date, or --from and --to")
    if first is None or last is None:
        raise typer.BadParameter("give --date DAY, or both --from DAY and --to DAY")
    if first > last:
        raise typer.BadParameter(f"--from {first} is after --to {last}")
    window = Window(first, last)
    if not window.has_ended(datetime.now(UTC), settings.zone):
        raise typer.BadParameter(
            f"{window.last} has not ended in {settings.timezone}: the last day that has ended is"
            f" {settings.yesterday()}"
        )
    begins = settings.first_partition
    if window.first < begins:
        begun = f"LCM_START_DATE, {begins}" if settings.start_date else str(begins)
        advice = "correct it" if settings.start_date else "set LCM_START_DATE"
        raise typer.BadParameter(
            f"{window.first} is before {begun}: if the programme began earlier, {advice}"
        )
    return window
