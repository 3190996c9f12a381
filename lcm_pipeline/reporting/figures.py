"""Everything a page says, read from the marts in one snapshot: all numbers belong together."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from lcm_pipeline.model.language import DEFAULT_LANGUAGE, Language
from lcm_pipeline.model.texts import shown
from lcm_pipeline.reporting.completeness import Completeness
from lcm_pipeline.reporting.errors import ReportError
from lcm_pipeline.reporting.formats import Formats
from lcm_pipeline.reporting.periods import Days, Period
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.dictionary import russian_definitions
from lcm_pipeline.warehouse.frames import MartSnapshot, open_mart_snapshot

# The answers that are asked for by day, each sql/reports/<name>.sql; and those of the newest day.
_OF_THE_DAY = (
    "programme_days", "restatements", "liability", "bridge", "stores", "cohorts", "lead_days",
    "lead_types", "favourite_days", "favourite_goods",
)  # fmt: skip
_OF_THE_NEWEST_DAY = ("expiring", "segments", "lead_answers")


@dataclass(frozen=True)
class Figures:
    """The answers of the marts for one business day, by the name of their query.

    standing: the last day of each feed and the parameters of the marts. assumed: parameters as
    texts; unconfirmed: those of them that are as they were shipped. definitions: what a column is,
    by `mart.column`, in the language.
    """

    day: date
    language: Language
    completeness: Completeness
    standing: dict[str, Any]
    assumed: dict[str, str]
    unconfirmed: frozenset[str]
    definitions: dict[str, str]
    answers: dict[str, pd.DataFrame]

    @cached_property
    def formats(self) -> Formats:
        """How numbers and days are written; moments in the zone in which days are cut."""
        return Formats(self.language, ZoneInfo(self.standing["timezone"]))

    def say(self, russian: str, english: str) -> str:
        """The text of the page's language."""
        return russian if self.language == "ru" else english

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.answers[name]


def read_figures(
    warehouse: Warehouse,
    day: date | None,
    language: Language = DEFAULT_LANGUAGE,
    period: Period | None = None,
) -> Figures:
    """The figures of a day, or of the last day of operations. Raises ReportError.

    With a period they are those of its last day that is known, and of its stores.
    """
    with open_mart_snapshot(warehouse) as marts:
        completeness = Completeness(marts.read("completeness"))
        chosen = _choose(completeness, day)
        answers = {name: marts.read(name, day=chosen) for name in _OF_THE_DAY}
        answers |= {name: marts.read(name) for name in _OF_THE_NEWEST_DAY}
        [standing] = marts.read("standing").to_dict("records")
        rests_on = marts.read("assumptions")
        named = marts.read("definitions")
        if period is not None:
            answers["store_periods"] = _read_stores(marts, period.through(chosen))
    definitions = dict(zip(named["name"], named["definition"], strict=True))
    if language == "ru":
        definitions |= russian_definitions()
    return Figures(
        chosen,
        language,
        completeness,
        standing,
        dict(zip(rests_on["parameter"], rests_on["current_value"], strict=True)),
        frozenset(rests_on[rests_on["is_default"].astype(bool)]["parameter"]),
        definitions,
        {name: _shown_frame(answer) for name, answer in answers.items()},
    )


def last_day(warehouse: Warehouse) -> date:
    """The last day of operations, or of any feed where there are none. Raises ReportError."""
    with open_mart_snapshot(warehouse) as marts:
        return _choose(Completeness(marts.read("completeness")), None)


def _read_stores(marts: MartSnapshot, days: Days) -> pd.DataFrame:
    return marts.read(
        "store_periods",
        first=days.first,
        last=days.last,
        before_first=days.before_first,
        before_last=days.before_last,
    )


def _shown_frame(answer: pd.DataFrame) -> pd.DataFrame:
    """The rows with their texts as they may be shown; what is not known stays None, never a NaN."""
    return answer.map(_as_shown).astype(object).where(answer.notna(), None)


def _as_shown(value: Any) -> Any:
    """Names of stores and goods are the source's: one of 12 kB would fill the page."""
    return shown(value) if isinstance(value, str) else value


def _choose(completeness: Completeness, day: date | None) -> date:
    days = completeness.days()
    if not days:
        raise ReportError(
            "The warehouse holds no synced day yet, so there is nothing to report:"
            " run lcm sync --date DAY"
        )
    if day is None:
        return (completeness.days(("operations",)) or days)[-1]
    if day not in days:
        raise ReportError(
            f"{day} was never synced; synced are days from {days[0]} to {days[-1]}:"
            f" run lcm sync --date {day}"
        )
    return day
