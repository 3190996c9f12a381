"""Builds the report of a day, a week or a month."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.reporting.completeness import TABLES
from lcm_pipeline.reporting.figures import ReportError, known_range, read_figures
from lcm_pipeline.reporting.pages import build_page, build_period_page, incomplete_tables
from lcm_pipeline.reporting.periods import Kind, Period, last_ended_period, period_of
from lcm_pipeline.warehouse.connection import Warehouse


@dataclass(frozen=True)
class Report:
    """The page of a day, a week or a month. incomplete: the tables that are not complete.

    day: the day, or the last known day of the period. name: the day or period as the command line
    names it. is_part: the period is not over. begins: the first known day, if that is inside the
    period. quarantined: rows in open quarantine, of all days.
    """

    day: date
    html: str
    incomplete: tuple[str, ...]
    quarantined: int = 0
    name: str = ""
    is_part: bool = False
    begins: date | None = None


def make_report(
    warehouse: Warehouse, day: date | None = None, language: Language = DEFAULT_LANGUAGE
) -> Report:
    """Build the report of a business day, by default of the last day of operations.

    Raises ReportError when no table was ever synced for the day, WarehouseUnavailableError when
    there are no marts.
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
    """Build the report of a week or month, by default of the last one that has ended.

    A period that is not over is shown through the last known day and marked as a part. Raises
    ReportError when none of its days was ever synced, WarehouseUnavailableError when there are no
    marts.
    """
    first, last = known_range(warehouse)
    if period is None:
        period = last_ended_period(kind, last)
        if period.last < first:
            raise ReportError(
                f"No {kind} has ended since {first}, the first day that the marts show: lcm report"
                f" --{kind} {period_of(kind, last).name} shows the current one"
            )
    if period.first > last:
        raise ReportError(
            f"{period.name} begins after {last}, the last day that was synced: name an earlier"
            f" {kind}, or sync its days first once they have ended"
        )
    figures = read_figures(warehouse, min(period.last, last), language, period)
    days = figures.completeness.days_of(period, figures.day)
    return Report(
        figures.day,
        build_period_page(figures, period, datetime.now(UTC)),
        incomplete_tables(figures, days.all),
        figures.completeness.quarantined(TABLES),
        period.name,
        days.is_part,
        days.first if days.is_cut else None,
    )
