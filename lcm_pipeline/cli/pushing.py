"""What `lcm push` does for its options: read the file, push, look, or undo; then print."""

from pathlib import Path

from lcm_pipeline.cli.failures import DONE, INCOMPLETE
from lcm_pipeline.cli.opening import migrated_warehouse
from lcm_pipeline.cli.printing import console, print_preview, print_push, print_undo
from lcm_pipeline.cli.progress_bar import ProgressBar
from lcm_pipeline.model.profiles import UpdateFile
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.previewing import preview_push
from lcm_pipeline.sync.write_back import PushStopped, WriteBack
from lcm_pipeline.transform.update_files import UpdateFileRefused, read_updates
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.pushes import PushReport, reasons_of
from lcm_pipeline.warehouse.waiting_updates import stuck_updates

_MOST_LISTED = 10


def push(settings: Settings, csv: Path | None, most: int | None) -> int:
    """Send what is pending, and the rows of a file; answers the exit code."""
    file = _read(csv)
    with migrated_warehouse(settings) as warehouse, ProgressBar() as progress:
        write_back = WriteBack(settings, warehouse, progress)
        try:
            report = write_back.push(most=most, file=file)
        except PushStopped as stopped:
            _print(warehouse, stopped.report)
            raise
        return _print(warehouse, report, is_limited=most is not None)


def undo(settings: Settings, push_id: int, most: int | None) -> int:
    """Take a push back; answers the exit code."""
    with migrated_warehouse(settings) as warehouse, ProgressBar() as progress:
        write_back = WriteBack(settings, warehouse, progress)
        try:
            undone, report = write_back.undo(push_id, most=most)
        except PushStopped as stopped:
            _print(warehouse, stopped.report)
            raise
        print_undo(undone)
        code = DONE if report is None else _print(warehouse, report, is_limited=most is not None)
        return INCOMPLETE if undone.obstacles else code


def look(settings: Settings, csv: Path | None, most: int | None) -> int:
    """Say what a push would do; answers the exit code."""
    file = _read(csv)
    with migrated_warehouse(settings) as warehouse:
        preview = preview_push(settings, warehouse, most=most, file=file)
    print_preview(preview)
    console.print("nothing was sent and nothing stored")
    return INCOMPLETE if preview.rejected else DONE


def look_at_undo(settings: Settings, push_id: int) -> int:
    """Say what an undo would do; answers the exit code."""
    with migrated_warehouse(settings) as warehouse:
        undone = WriteBack(settings, warehouse).preview_undo(push_id)
    print_undo(undone)
    console.print("nothing was sent and nothing stored")
    return INCOMPLETE if undone.obstacles else DONE


def _read(csv: Path | None) -> UpdateFile | None:
    if csv is None:
        return None
    try:
        return read_updates(csv.read_bytes())
    except OSError as error:
        raise UpdateFileRefused(f"{csv} cannot be read: {error.strerror}") from None
    except UpdateFileRefused as refused:
        raise UpdateFileRefused(f"{csv}: {refused}. Nothing was loaded") from None


def _print(warehouse: Warehouse, report: PushReport, *, is_limited: bool = False) -> int:
    with warehouse.connect(autocommit=True, application_name="lcm push") as session:
        reasons = reasons_of(session, report.push_id, most=_MOST_LISTED)
        print_push(report, reasons, stuck_updates(session, report, most=_MOST_LISTED))
    is_short = bool(report.left_over) and not is_limited
    return INCOMPLETE if report.concerns or is_short else DONE
