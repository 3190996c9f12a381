"""Everything a page says, read from the marts in one snapshot: all numbers belong together."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from lcm_pipeline.model.texts import shown
from lcm_pipeline.reporting.completeness import Completeness
from lcm_pipeline.reporting.errors import ReportError
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.frames import open_mart_snapshot

# The answers that are asked for by day, each sql/reports/<name>.sql; and those of the newest day.
_OF_THE_DAY = (
    "programme_days", "restatements", "liability", "bridge", "stores", "cohorts", "lead_days",
    "lead_types", "favourite_days", "favourite_goods",
)  # fmt: skip
_OF_THE_NEWEST_DAY = ("expiring", "segments", "lead_answers")


@dataclass(frozen=True)
class Figures:
    """The answers of the marts for one business day, by the name of their query.

    standing: the last day of each feed and the parameters of the marts. definitions: what the
    database says of a column, by `mart.column`.
    """

    day: date
    completeness: Completeness
    standing: dict[str, Any]
    definitions: dict[str, str]
    answers: dict[str, pd.DataFrame]

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which days are cut."""
        return ZoneInfo(self.standing["timezone"])

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.answers[name]


def read_figures(warehouse: Warehouse, day: date | None) -> Figures:
    """The figures of a day, or of the last day of operations. Raises ReportError."""
    with open_mart_snapshot(warehouse) as marts:
        completeness = Completeness(marts.read("completeness"))
        chosen = _choose(completeness, day)
        answers = {name: marts.read(name, day=chosen) for name in _OF_THE_DAY}
        answers |= {name: marts.read(name) for name in _OF_THE_NEWEST_DAY}
        answers = {name: answer.map(_as_shown) for name, answer in answers.items()}
        [standing] = marts.read("standing").to_dict("records")
        named = marts.read("definitions")
        definitions = dict(zip(named["name"], named["definition"], strict=True))
        return Figures(chosen, completeness, standing, definitions, answers)


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
