"""`lcm push`: send profile updates from the outbox or a file to the API, or undo a push."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lcm_pipeline.cli.failures import DONE, INCOMPLETE
from lcm_pipeline.cli.lazy_group import lazy_import
from lcm_pipeline.cli.output import console
from lcm_pipeline.cli.progress_log import command_progress
from lcm_pipeline.cli.push_output import (
    print_preview,
    print_push,
    print_rejected_rows,
    print_undo,
    print_values,
)
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.model.profiles import COLUMNS, REQUESTED_BY, UpdateFile
from lcm_pipeline.push.csv_file import UpdateFileError, read_updates
from lcm_pipeline.push.preview import PlannedUpdate, preview_push
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.outbox.pushes import PushReport, reasons_of
from lcm_pipeline.warehouse.outbox.waiting import stuck_updates
from lcm_pipeline.warehouse.preparation import programme_warehouse

# Imported on first use: --help, --dry-run and invalid options need no HTTP client.
if TYPE_CHECKING:
    from lcm_pipeline.push import push as write_back
else:
    write_back = lazy_import("lcm_pipeline.push.push")

_MAX_LISTED = 10


def push(
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="First load this file into the outbox. Its header names client_id and any of"
            f" {', '.join((*COLUMNS, REQUESTED_BY))}.",
        ),
    ] = None,
    undo: Annotated[
        int | None, typer.Option(min=1, help="Undo the push with this number instead.")
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", min=1, help="Send at most N updates.")
    ] = None,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent; send and store nothing.")
    ] = False,
    shows_values: Annotated[
        bool,
        typer.Option(
            "--show-values",
            help="With --dry-run: show the first values that would be sent; only on a terminal.",
        ),
    ] = False,
) -> None:
    """Send pending updates of outbox.profile_updates to the API, in order for each client.

    The first LCM_PUSH_CANARY updates are a trial: if too many of them fail, the others stay pending
    (exit code 1). Updates that break a rule are rejected and never sent; fields equal to those last
    sent are omitted. Exit code 3 means that some updates were not sent, or only partly accepted.
    After an interruption the same command continues; updates of a client keep their order.

    A malformed file is refused (exit code 2). A row with an invalid cell is rejected without
    affecting other rows; [bold]--dry-run[/bold] lists all rejected rows with their line numbers.

    Examples: [bold]lcm push --csv names.csv --dry-run[/bold], [bold]lcm push --max 100[/bold],
    [bold]lcm push --undo 7[/bold]
    """
    settings = load_settings()
    if undo is not None and csv is not None:
        raise typer.BadParameter("give either --csv or --undo")
    if shows_values and not is_dry:
        raise typer.BadParameter("--show-values works only with --dry-run")
    # Rich's own detection is not used: environment variables can force it on for a file or a log.
    if shows_values and not sys.stdout.isatty():
        raise typer.BadParameter(
            "--show-values shows names and phones, so it works only on a terminal, not in a pipe, a"
            " file or a log. Run lcm push --dry-run without it there"
        )
    if not is_dry:
        settings.required_api_url()
        code = _send(settings, csv, most) if undo is None else _undo(settings, undo, most)
    elif undo is None:
        code = _preview(settings, csv, most, shows_values=shows_values)
    else:
        code = _preview_undo(settings, undo, shows_values=shows_values)
    if code:
        raise typer.Exit(code)


def _send(settings: Settings, csv: Path | None, most: int | None) -> int:
    """Send the pending updates and the rows of the file; return the exit code."""
    file = _read(csv)
    with programme_warehouse(settings) as warehouse:
        try:
            with command_progress() as progress:
                pushing = write_back.WriteBack(settings, warehouse, progress)
                report = pushing.push(most=most, file=file)
        except write_back.PushStoppedError as stopped:
            _print(warehouse, stopped.report, file=file)
            raise
        return _print(warehouse, report, is_limited=most is not None, file=file)


def _undo(settings: Settings, push_id: int, most: int | None) -> int:
    """Undo a push; return the exit code."""
    with programme_warehouse(settings) as warehouse:
        try:
            with command_progress() as progress:
                pushing = write_back.WriteBack(settings, warehouse, progress)
                undone, report = pushing.undo(push_id, most=most)
        except write_back.PushStoppedError as stopped:
            _print(warehouse, stopped.report)
            raise
        print_undo(undone)
        code = DONE if report is None else _print(warehouse, report, is_limited=most is not None)
        return INCOMPLETE if undone.obstacles else code


def _preview(settings: Settings, csv: Path | None, most: int | None, *, shows_values: bool) -> int:
    """Print what a push would do, with values if requested; return the exit code."""
    file = _read(csv)
    with existing_warehouse(settings) as warehouse:
        preview = preview_push(settings, warehouse, most=most, file=file, lists_values=shows_values)
    print_preview(preview)
    if shows_values:
        print_values(preview.listed_to_send, preview.to_send)
    console.print("nothing was sent and nothing stored")
    return INCOMPLETE if preview.rejected else DONE


def _preview_undo(settings: Settings, push_id: int, *, shows_values: bool) -> int:
    """Print what an undo would do; return the exit code."""
    with existing_warehouse(settings) as warehouse:
        undone = write_back.WriteBack(settings, warehouse).preview_undo(push_id)
    print_undo(undone)
    if shows_values:
        listed = [
            PlannedUpdate(f"client {client_id}", client_id, tuple(values), values=values)
            for client_id, values in list(undone.values.items())[:_MAX_LISTED]
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
        raise UpdateFileError(f"'{csv}' cannot be read: {error.strerror}") from None
    except UpdateFileError as error:
        raise UpdateFileError(f"'{csv}': {error}. Nothing was loaded") from None


def _print(
    warehouse: Warehouse,
    report: PushReport,
    *,
    is_limited: bool = False,
    file: UpdateFile | None = None,
) -> int:
    with warehouse.connect(autocommit=True, application_name="lcm push") as session:
        reasons = reasons_of(session, report.push_id, most=_MAX_LISTED)
        print_push(report, reasons, stuck_updates(session, report, most=_MAX_LISTED))
    if file is not None:
        print_rejected_rows(file)
    is_short = bool(report.left_over) and not is_limited
    is_unread = file is not None and bool(file.rejected_rows)
    return INCOMPLETE if report.concerns or is_short or is_unread else DONE
