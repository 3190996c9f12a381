"""What readings saw of refunds and of odd remains: months that have ended keep their figures.

March, April and May end, and are read on the next morning.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from lcm_pipeline.simulator.customers import Entry
from tests.databases import cloned_warehouse
from tests.marts.comparing import read_mart
from tests.marts.life import assert_as_if_computed_anew
from tests.marts.purchases import add_cheque, add_lot, taken
from tests.marts.stories import START, Story
from tests.marts.worlds import empty_world

pytestmark = pytest.mark.slow

MARCH, APRIL, MAY = date(2026, 3, 31), date(2026, 4, 30), date(2026, 5, 31)
SILENT, TOLD_TWICE, NOT_RETURNED, TOO_MUCH, NEGATIVE, ABOVE, ENDED = range(1, 8)
_ENDS = "2026-12-31T00:00:00"

Movement = tuple[date, str, Decimal]


@pytest.fixture(scope="module")
def over_months(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """Seven clients, of whom each shows one case, after the reading of May."""
    with (
        cloned_warehouse(postgres, template) as warehouse,
        empty_world(START, datetime(2026, 3, 1, 1)) as simulator,
    ):
        story = Story(simulator, warehouse, tmp_path_factory.mktemp("months"))
        lots = _write_march(story)
        story.sync_day(MARCH)
        _write_april(story, lots)
        story.sync_day(APRIL)
        add_cheque(story, SILENT, 3, 10, -500, month=5, Refund=True)
        lots[SILENT].row["Remain"] = Decimal(0)
        # Another field changes; as much remains as before.
        lots[ABOVE].row["PartnerName"] = "renamed"
        story.sync_day(MAY)
        yield story


def _write_march(story: Story) -> dict[int, Entry]:
    for client in range(1, 8):
        story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
    lots = {
        SILENT: _lot(story, SILENT, 100, 50, ChequeId=SILENT * 100),
        TOLD_TWICE: _lot(story, TOLD_TWICE, 50, 25),
        NOT_RETURNED: _lot(story, NOT_RETURNED, 50, 0),
        TOO_MUCH: _lot(story, TOO_MUCH, 50, 40),
        NEGATIVE: _lot(story, NEGATIVE, 100, -20, ends="2026-04-20T12:00:00"),
        ABOVE: _lot(story, ABOVE, 100, 150),
        ENDED: _lot(story, ENDED, 50, 0, ends="2026-03-25T12:00:00"),
    }
    add_cheque(story, SILENT, 0, 2, 1000, Added=Decimal(100))
    for client in (TOLD_TWICE, NOT_RETURNED, TOO_MUCH, NEGATIVE, ENDED):
        points = 120 if client == NEGATIVE else 50
        add_cheque(story, client, 0, 5, 1000, Redeemed=Decimal(points))
    for number, day, amount in ((1, 20, -200), (2, 31, -300)):
        add_cheque(story, SILENT, number, day, amount, Refund=True)
    add_cheque(story, TOLD_TWICE, 1, 20, -500, Refund=True, Redeemed=Decimal(-25))
    add_cheque(story, TOO_MUCH, 1, 20, -800, Refund=True, Redeemed=Decimal(-40))
    return lots


def _write_april(story: Story, lots: dict[int, Entry]) -> None:
    for client, points in ((TOLD_TWICE, -25), (NOT_RETURNED, -50), (TOO_MUCH, -40), (ENDED, -50)):
        redeemed = Decimal(points)
        add_cheque(story, client, 2, 20, -500, month=4, Refund=True, Redeemed=redeemed)
    lots[TOLD_TWICE].row["Remain"] = lots[TOO_MUCH].row["Remain"] = Decimal(50)


def test_each_of_several_silent_refunds_claws_back_its_share_on_its_day(
    over_months: Story,
) -> None:
    """Two of them are seen by one reading, the third by a later one."""
    assert _taken(over_months, SILENT) == [
        (date(2026, 3, 20), "clawed_back", -20),
        (MARCH, "clawed_back", -30),
        (date(2026, 5, 10), "clawed_back", -50),
    ]


def test_refunds_that_give_points_back_in_two_months_count_in_both(over_months: Story) -> None:
    assert _taken(over_months, TOLD_TWICE) == [
        (date(2026, 3, 5), "redeemed", -50),
        (date(2026, 3, 20), "redeemed", 25),
        (date(2026, 4, 20), "redeemed", 25),
    ]


@pytest.mark.parametrize("client", [NOT_RETURNED, ENDED])
def test_points_that_a_later_refund_says_it_gave_back_and_no_lot_shows_change_no_earlier_month(
    client: int, over_months: Story
) -> None:
    """Whether the lot is still in its time, or had ended before the refund."""
    assert _taken(over_months, client) == [
        (date(2026, 3, 5), "redeemed", -50),
        (date(2026, 4, 20), "redeemed", 50),
        (date(2026, 4, 20), "unexplained", -50),
    ]


def test_more_than_was_redeemed_is_unexplained_on_the_day_of_the_refund_that_exceeds_it(
    over_months: Story,
) -> None:
    assert _taken(over_months, TOO_MUCH) == [
        (date(2026, 3, 5), "redeemed", -50),
        (date(2026, 3, 20), "redeemed", 40),
        (date(2026, 4, 20), "redeemed", 40),
        (date(2026, 4, 20), "unexplained", -30),
    ]


def test_a_lot_of_which_less_than_nothing_remains_is_gone_on_its_expiry_day(
    over_months: Story,
) -> None:
    assert _taken(over_months, NEGATIVE) == [
        (date(2026, 3, 5), "redeemed", -120),
        (date(2026, 4, 20), "unexplained", 20),
    ]


def test_what_remains_above_the_points_given_stays_on_the_day_of_the_first_reading(
    over_months: Story,
) -> None:
    assert _taken(over_months, ABOVE) == [(MARCH, "unexplained", 50)]


def test_closed_months_stay_and_what_was_known_then_is_what_is_known_now(
    over_months: Story,
) -> None:
    owed = {
        row["day"]: (row["as_known_now"], row["as_known_then"])
        for row in read_mart(over_months.warehouse, "points_owed")
        if row["method"] == "read"
    }
    assert owed == {MARCH: (245, 245), APRIL: (300, 300), MAY: (250, 250)}
    assert read_mart(over_months.warehouse, "restated_answers") == []
    balances = read_mart(over_months.warehouse, "client_360")
    assert sum(row["active_points"] for row in balances) == 250
    assert_as_if_computed_anew(over_months.warehouse, "after May")


def _taken(story: Story, client: int) -> list[Movement]:
    """The points by day and kind; of some movements of a day a lot is known, of others none."""
    points: defaultdict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for day, kind, _, taken_points in taken(story, client):
        points[day, kind] += taken_points
    return sorted((day, kind, total) for (day, kind), total in points.items())


def _lot(story: Story, client: int, points: int, remain: int, **fields: Any) -> Entry:
    fields = {"ends": _ENDS, "Remain": Decimal(remain), **fields}
    return add_lot(story, client, 0, "2026-03-02T12:00:00", points, **fields)
