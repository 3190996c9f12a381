"""`lcm push`: profile updates to the API, from the outbox or a file; and a push taken back."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lcm_pipeline.cli.failures import DONE, INCOMPLETE
from lcm_pipeline.cli.lazy_group import lazy_import
from lcm_pipeline.cli.output import (
    console,
    print_preview,
    print_push,
    print_rejected_rows,
    print_undo,
    print_values,
)
from lcm_pipeline.cli.progress_bar import ProgressBar
from lcm_pipeline.cli.warehouse import existing_warehouse, programme_warehouse
from lcm_pipeline.model.profiles import UpdateFile
from lcm_pipeline.push.csv_file import UpdateFileError, read_updates
from lcm_pipeline.push.preview import PlannedUpdate, preview_push
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.outbox.pushes import PushReport, reasons_of
from lcm_pipeline.warehouse.outbox.waiting import stuck_updates

if TYPE_CHECKING:
    from lcm_pipeline.push import push as write_back
else:
    write_back = lazy_import("lcm_pipeline.push.push")

_MOST_LISTED = 10


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
    shows_values: Annotated[
        bool,
        typer.Option(
            "--show-values",
            help="With --dry-run: show the first values that would be sent, on a terminal alone.",
        ),
    ] = False,
) -> None:
    """Send what waits in outbox.profile_updates to the API, one update of a client at a time.

    The first LCM_PUSH_CANARY updates are a trial: when too many of them fail, the rest stays where
    it is (exit code 1). Updates that break a rule are rejected and never sent, fields equal to
    those last sent are left out. Exit code 3 says that some updates were not sent, or not taken
    whole. Stopped or killed, the same command goes on, and nothing overtakes.

    A file that is broken is refused (exit code 2). A row whose cell cannot be read is rejected and
    costs no other row; [bold]--dry-run[/bold] lists all of them with their lines.

    Examples: [bold]lcm push --csv names.csv --dry-run[/bold], [bold]lcm push --max 100[/bold],
    [bold]lcm push --undo 7[/bold]
    """
    settings = load_settings()
    if undo is not None and csv is not None:
        raise typer.BadParameter("give either --csv or --undo")
    if shows_values:
        _check_terminal(is_dry=is_dry)
    if is_dry and undo is None:
        code = _preview(settings, csv, most, shows_values=shows_values)
    elif is_dry and undo is not None:
        code = _preview_undo(settings, undo, shows_values=shows_values)
    else:
        settings.required_api_url()
        code = _send(settings, csv, most) if undo is None else _undo(settings, undo, most)
    if code:
        raise typer.Exit(code)


def _check_terminal(*, is_dry: bool) -> None:
    if not is_dry:
        raise typer.BadParameter("--show-values goes with --dry-run")
    # Not what rich takes for a terminal: the environment can force that for a file or a log.
    if not sys.stdout.isatty():
        raise typer.BadParameter(
            "--show-values shows names and phones, so it works on a terminal alone: not in a pipe,"
            " a file or a log. Run lcm push --dry-run without it there"
        )


def _send(settings: Settings, csv: Path | None, most: int | None) -> int:
    """Send what is pending, and the rows of a file; return the exit code."""
    file = _read(csv)
    with programme_warehouse(settings) as warehouse, ProgressBar() as progress:
        pushing = write_back.WriteBack(settings, warehouse, progress)
        try:
            report = pushing.push(most=most, file=file)
        except write_back.PushStoppedError as stopped:
            _print(warehouse, stopped.report, file=file)
            raise
        return _print(warehouse, report, is_limited=most is not None, file=file)


def _undo(settings: Settings, push_id: int, most: int | None) -> int:
    """Take a push back; return the exit code."""
    with programme_warehouse(settings) as warehouse, ProgressBar() as progress:
        pushing = write_back.WriteBack(settings, warehouse, progress)
        try:
            undone, report = pushing.undo(push_id, most=most)
        except write_back.PushStoppedError as stopped:
            _print(warehouse, stopped.report)
            raise
        print_undo(undone)
        code = DONE if report is None else _print(warehouse, report, is_limited=most is not None)
        return INCOMPLETE if undone.obstacles else code


def _preview(settings: Settings, csv: Path | None, most: int | None, *, shows_values: bool) -> int:
    """Say what a push would do, and with which values where that is asked; return the exit code."""
    file = _read(csv)
    with existing_warehouse(settings) as warehouse:
        preview = preview_push(settings, warehouse, most=most, file=file, keeps_values=shows_values)
    print_preview(preview)
    if shows_values:
        print_values(preview.listed_to_send, preview.to_send)
    console.print("nothing was sent and nothing stored")
    return INCOMPLETE if preview.rejected else DONE


def _preview_undo(settings: Settings, push_id: int, *, shows_values: bool) -> int:
    """Say what an undo would do; return the exit code."""
    with existing_warehouse(settings) as warehouse:
        undone = write_back.WriteBack(settings, warehouse).preview_undo(push_id)
    print_undo(undone)
    if shows_values:
        listed = [
            PlannedUpdate(f"client {client_id}", client_id, tuple(values), values=values)
            for client_id, values in list(undone.values.items())[:_MOST_LISTED]
        ]
        print_values(listed, len(undone.values))
    console.print("nothing was sent and nothing stored")
    return INCOMPLETE if undone.obstacles else DONE


def _read(csv: Path | None) -> UpdateFile | None:
    if csv is None:
        return None
    try:
        return read_updates(csv.read_bytes())
    except OSError as error:
        raise UpdateFileError(f"{csv} cannot be read: {error.strerror}") from None
    except UpdateFileError as refused:
        raise UpdateFileError(f"{csv}: {refused}. Nothing was loaded") from None


def _print(
    warehouse: Warehouse,
    report: PushReport,
    *,
    is_limited: bool = False,
    file: UpdateFile | None = None,
) -> int:
    with warehouse.connect(autocommit=True, application_name="lcm push") as session:
        reasons = reasons_of(session, report.push_id, most=_MOST_LISTED)
        print_push(report, reasons, stuck_updates(session, report, most=_MOST_LISTED))
    if file is not None:
        print_rejected_rows(file)
    is_short = bool(report.left_over) and not is_limited
    is_unread = file is not None and bool(file.rejected_rows)
    return INCOMPLETE if report.concerns or is_short or is_unread else DONE
