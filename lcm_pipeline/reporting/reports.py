"""Writes the report of a day, a week or a month, whole or not at all."""

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.reporting.completeness import TABLES
from lcm_pipeline.reporting.errors import ReportError
from lcm_pipeline.reporting.figures import last_day, read_figures
from lcm_pipeline.reporting.pages import build_page, build_period_page, incomplete_tables
from lcm_pipeline.reporting.periods import Kind, Period, last_whole
from lcm_pipeline.warehouse.connection import Warehouse


@dataclass(frozen=True)
class Report:
    """The page of a day, a week or a month. incomplete: the tables that are not complete for it.

    day: the day, or the last one that is known of the period. name: what it is of, as the command
    line names it. is_part: the period is not over. quarantined: rows in open quarantine, of
    whatever day.
    """

    day: date
    html: str
    incomplete: tuple[str, ...]
    quarantined: int = 0
    name: str = ""
    is_part: bool = False


def make_report(
    warehouse: Warehouse, day: date | None = None, language: Language = DEFAULT_LANGUAGE
) -> Report:
    """The report of a business day, or of the last day of operations.

    Raises ReportError when no table was ever synced for the day, WarehouseUnavailableError without
    marts.
    """
    figures = read_figures(warehouse, day, language)
    return Report(
        figures.day,
        build_page(figures, datetime.now(UTC)),
        incomplete_tables(figures, [figures.day]),
        figures.completeness.quarantined(TABLES),
        str(figures.day),
    )


def make_period_report(
    warehouse: Warehouse,
    kind: Kind,
    period: Period | None = None,
    language: Language = DEFAULT_LANGUAGE,
) -> Report:
    """The report of a week or month, or of the last one that has ended by the last day known.

    A period that is not over is shown through the last day known, and marked as a part. Raises
    ReportError when none of its days was ever synced, WarehouseUnavailableError without marts.
    """
    last = last_day(warehouse)
    period = period or last_whole(kind, last)
    if period.first > last:
        raise ReportError(
            f"{period.name} begins after {last}, the last day that was synced: run lcm sync first"
        )
    days = period.through(last)
    figures = read_figures(warehouse, days.last, language, period)
    return Report(
        figures.day,
        build_period_page(figures, period, datetime.now(UTC)),
        incomplete_tables(figures, days.all),
        figures.completeness.quarantined(TABLES),
        period.name,
        days.is_part,
    )


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
