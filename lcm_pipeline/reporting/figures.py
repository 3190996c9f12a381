"""Everything that a page shows, read from the marts in one snapshot, so that the numbers agree."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, partial
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.model.texts import shorten
from lcm_pipeline.reporting.completeness import Completeness
from lcm_pipeline.reporting.formats import Formats
from lcm_pipeline.reporting.periods import Period
from lcm_pipeline.warehouse.access.dictionary import russian_definitions
from lcm_pipeline.warehouse.access.frames import read_report
from lcm_pipeline.warehouse.access.mart_snapshot import open_mart_snapshot
from lcm_pipeline.warehouse.connection import Warehouse

# The queries of sql/reports: those that take the day of the report, and those of the newest day.
_DAY_QUERIES = (
    "programme_days", "restatements", "liability", "bridge", "stores", "cohorts", "lead_days",
    "lead_types", "favourite_days", "favourite_goods",
)  # fmt: skip
_NEWEST_DAY_QUERIES = ("expiring", "segments", "lead_answers", "conventions")


class ReportError(UsageError):
    """There is no data for the report; the message says which days exist and what to do next."""


@dataclass(frozen=True)
class Figures:
    """The figures of one business day. results: the rows of each query, by its name.

    standing: the last day of each feed and the parameters that apply on the day. assumed: the
    assumptions as texts; unconfirmed: those that still have their default. definitions: the
    description of each column by `mart.column`, in the language.
    """

    day: date
    language: Language
    completeness: Completeness
    standing: dict[str, Any]
    assumed: dict[str, str]
    unconfirmed: frozenset[str]
    definitions: dict[str, str]
    results: dict[str, pd.DataFrame]

    @cached_property
    def formats(self) -> Formats:
        """The formats of numbers and days; timestamps are in the programme's time zone."""
        return Formats(self.language, ZoneInfo(self.standing["timezone"]))

    def text(self, russian: str, english: str) -> str:
        """The text in the language of the page."""
        return russian if self.language == "ru" else english

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.results[name]


def read_figures(
    warehouse: Warehouse,
    day: date | None,
    language: Language = DEFAULT_LANGUAGE,
    period: Period | None = None,
) -> Figures:
    """Read the figures of a day, by default of the last day of operations.

    period: adds the stores of that period, through the day. Raises ReportError when there is no
    such day.
    """
    with open_mart_snapshot(warehouse, "lcm report") as session:
        read = partial(read_report, session)
        completeness = Completeness(read("completeness"))
        chosen = _choose_day(completeness, day, period)
        results = {name: read(name, day=chosen) for name in _DAY_QUERIES}
        results |= {name: read(name) for name in _NEWEST_DAY_QUERIES}
        [standing] = read("standing", day=chosen).to_dict("records")
        assumptions = read("assumptions")
        comments = read("definitions")
        if period is not None:
            days = completeness.days_of(period, chosen)
            results["store_periods"] = read(
                "store_periods",
                first=days.first,
                last=days.last,
                before_first=days.before_first,
                before_last=days.before_last,
            )
    definitions = dict(zip(comments["name"], comments["definition"], strict=True))
    if language == "ru":
        definitions |= russian_definitions()
    return Figures(
        chosen,
        language,
        completeness,
        standing,
        dict(zip(assumptions["parameter"], assumptions["current_value"], strict=True)),
        frozenset(assumptions[assumptions["is_default"].astype(bool)]["parameter"]),
        definitions,
        {name: _sanitize(rows) for name, rows in results.items()},
    )


def known_range(warehouse: Warehouse) -> tuple[date, date]:
    """The first known day, and the last one of operations, or of any feed if there are none.

    Raises ReportError.
    """
    with open_mart_snapshot(warehouse, "lcm report") as session:
        completeness = Completeness(read_report(session, "completeness"))
        last = _choose_day(completeness, None)
    return completeness.days()[0], last


def _sanitize(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with texts that are safe to show, and None where pandas has NaN."""

    def sanitize_value(value: Any) -> Any:
        # Names of stores and goods come from the source: one of 12 kB would fill the page.
        return shorten(value) if isinstance(value, str) else value

    # Column by column: DataFrame.map makes floats of numbers beside None, and 33.0 of the store 33.
    return pd.DataFrame(
        {
            name: pd.Series([sanitize_value(value) for value in column], dtype=object)
            for name, column in rows.items()
        },
        columns=rows.columns,
    ).where(lambda clean: clean.notna(), None)


def _choose_day(completeness: Completeness, day: date | None, period: Period | None = None) -> date:
    days = completeness.days()
    if not days:
        raise ReportError(
            "The warehouse holds no synced day yet, so there is nothing to report:"
            " run lcm sync --date DAY"
        )
    if day is None:
        return (completeness.days(("operations",)) or days)[-1]
    if day < days[0]:
        # All days up to the first one: after a gap no day is complete.
        raise ReportError(
            f"The marts do not show {period.name if period else day}, as {days[0]} is their first"
            " day. If the programme had begun by then, lcm sync --from"
            f" {period.first if period else day} --to {days[0] - timedelta(days=1)} reads the days"
            " before it; if not, there is nothing to report"
        )
    if day not in days:
        raise ReportError(
            f"The marts do not show {day}; they show {days[0]} to {days[-1]}: run lcm sync --date"
            f" {day}. If it was synced already, lcm status says why the marts are older"
        )
    return day
