"""What the marts contain after a reading: movements, liability, money and issue months."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

from tests.marts.comparing import read_mart
from tests.marts.purchases import Movement, taken
from tests.marts.stories import Story

Figures = dict[tuple[Any, ...], tuple[Any, ...]]


class Known(NamedTuple):
    """Movements by client; the other answers by their grain."""

    movements: dict[int, list[Movement]]
    owed: Figures
    money: Figures
    vintage: Figures


def known(story: Story, clients: Iterable[int]) -> Known:
    """What the marts contain now."""
    return Known(
        {client: taken(story, client) for client in clients},
        _figures(story, "points_liability_daily", "day", "bonus_source", "expiry_month"),
        _figures(story, "points_rollforward_monthly", "month"),
        _figures(story, "points_vintage", "issue_month", "age_months"),
    )


def assert_answer_stays(readings: Mapping[date, Known], month: date, answer: str) -> None:
    """Assert that readings after that of a month's end leave each figure of an answer as it was."""
    then: Figures = getattr(readings[month], answer)
    assert then
    for day, later in readings.items():
        now: Figures = getattr(later, answer)
        if day > month:
            assert {key: now[key] for key in then} == then, f"after the reading of {day:%d %B}"


def _figures(story: Story, mart: str, *grain: str) -> Figures:
    return {
        tuple(row[column] for column in grain): tuple(row.values())
        for row in read_mart(story.warehouse, mart)
    }
