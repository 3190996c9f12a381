"""Writes the report of a day, whole or not at all."""

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from lcm_pipeline.reporting.completeness import State
from lcm_pipeline.reporting.figures import read_figures
from lcm_pipeline.reporting.pages import build_page, table_states
from lcm_pipeline.warehouse.connection import Warehouse


@dataclass(frozen=True)
class Report:
    """The page of a day. incomplete: the tables that are not complete for it.

    quarantined: rows in open quarantine, of whatever day.
    """

    day: date
    html: str
    incomplete: tuple[str, ...]
    quarantined: int = 0


def make_report(warehouse: Warehouse, day: date | None = None) -> Report:
    """The report of a business day, or of the last day of operations.

    Raises ReportError when no table was ever synced for the day, WarehouseUnavailableError without
    marts.
    """
    figures = read_figures(warehouse, day)
    states = table_states(figures)
    incomplete = tuple(state.table for state in states if state.state is not State.COMPLETE)
    quarantined = sum(state.quarantined for state in states)
    return Report(figures.day, build_page(figures, datetime.now(UTC)), incomplete, quarantined)


def save_report(report: Report, place: Path) -> None:
    """Write the page in one step: who opens the file sees the old page or the new one."""
    place = place.resolve()
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=place.parent, prefix=f".{place.name}.", delete=False
    ) as file:
        draft = Path(file.name)
        try:
            file.write(report.html)
            file.close()
            # A temporary file is private; the page is as readable as other new files are.
            draft.chmod(0o666 & ~_umask())
            draft.replace(place)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
