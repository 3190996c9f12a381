"""Refunds whose rows do not name the purchase: months that readings have seen keep their figures.

March, April and May end, and are read on the next morning. Each client shows one case.
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from lcm_pipeline.simulator.customers import Entry
from tests.databases import cloned_warehouse
from tests.marts.comparing import read_mart
from tests.marts.known import Known, assert_answer_stays, known
from tests.marts.life import assert_as_if_computed_anew
from tests.marts.purchases import add_cheque, add_lot, summed
from tests.marts.stories import START, Story
from tests.marts.worlds import empty_world

pytestmark = pytest.mark.slow

MARCH, APRIL, MAY = date(2026, 3, 31), date(2026, 4, 30), date(2026, 5, 31)
CLIENTS = range(1, 14)
PART, TWO_LOTS, WHOLE_AGAIN, REDEEMED_AGAIN, BESIDE_A_KNOWN_ONE, *OTHERS = CLIENTS
SEVERAL, SILENT, NOT_SHOWN, TAKEN_BEFORE, NEVER_TAKEN, LATER, KNOWN_SILENT, BURNT = OTHERS
BACK = date(2026, 4, 20)


class Readings(NamedTuple):
    """The story after its last reading, and what the marts contained after each of them."""

    story: Story
    known: dict[date, Known]


@pytest.fixture(scope="module")
def readings(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Readings]:
    """The purchases of March, refunds of April, and what was redeemed of it in May."""
    with (
        cloned_warehouse(postgres, template) as warehouse,
        empty_world(START, datetime(2026, 3, 1, 1)) as simulator,
    ):
        with warehouse.connect(autocommit=True) as session:
            session.execute("update mart.parameters set spending_order = 'soonest_to_expire'")
        story = Story(simulator, warehouse, tmp_path_factory.mktemp("nameless"))
        found = {}
        lots = _write_march(story)
        story.sync_day(MARCH)
        found[MARCH] = known(story, CLIENTS)
        _write_april(story, lots)
        story.sync_day(APRIL)
        found[APRIL] = known(story, CLIENTS)
        add_cheque(story, REDEEMED_AGAIN, 3, 10, 500, month=5, Redeemed=Decimal(25))
        lots[REDEEMED_AGAIN, 1].row["Remain"] = Decimal(5)
        add_cheque(
            story, TWO_LOTS, 4, 10, -50, month=5, Refund=True, Redeemed=Decimal(-5), Parent=None
        )
        lots[TWO_LOTS, 2].row["Remain"] = Decimal(25)
        lots[LATER, 1].row["Remain"] = Decimal(30)
        story.sync_day(MAY)
        found[MAY] = known(story, CLIENTS)
        yield Readings(story, found)


def _write_march(story: Story) -> dict[tuple[int, int], Entry]:
    """Purchases, and lots by client and number as the reading of March sees them."""
    lots = {}
    for client in CLIENTS:
        story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
        add_cheque(story, client, 0, 2, 3000, Added=Decimal(200))
    for client, points, redeemed in (
        (PART, "200", "188.36"),
        (WHOLE_AGAIN, "60", "60"),
        (REDEEMED_AGAIN, "60", "60"),
        (SEVERAL, "60", "60"),
        (SILENT, "60", "60"),
        (NOT_SHOWN, "60", "60"),
        (LATER, "60", "60"),
        (KNOWN_SILENT, "60", "60"),
    ):
        lots[client, 1] = _lot(story, client, 1, points, Decimal(points) - Decimal(redeemed))
        add_cheque(story, client, 1, 10, 1000, Redeemed=Decimal(redeemed))
    _lot(story, TAKEN_BEFORE, 1, "60", 40)
    _lot(story, NEVER_TAKEN, 1, "60", 60)
    add_cheque(story, NEVER_TAKEN, 1, 10, 1000, Redeemed=Decimal(60))
    lots[BURNT, 1] = _lot(story, BURNT, 1, "60", 0, ends="2026-04-25T12:00:00")
    add_cheque(story, BURNT, 1, 10, 1000, Redeemed=Decimal(60))
    for client in (TWO_LOTS, BESIDE_A_KNOWN_ONE):
        lots[client, 1] = _lot(story, client, 1, "60", 0, ends="2026-11-30T00:00:00")
        lots[client, 2] = _lot(story, client, 2, "60", 20)
        add_cheque(story, client, 1, 10, 1000, Redeemed=Decimal(60))
        add_cheque(story, client, 2, 20, 900, Redeemed=Decimal(40))
    return lots


def _write_april(story: Story, lots: dict[tuple[int, int], Entry]) -> None:
    """Refunds of a part of a purchase, and what the reading of April sees of the lots."""
    for client, number, day, points in (
        (PART, 2, 20, "21.66"),
        (TWO_LOTS, 3, 20, "30"),
        (WHOLE_AGAIN, 2, 20, "60"),
        (REDEEMED_AGAIN, 2, 20, "30"),
        (BESIDE_A_KNOWN_ONE, 4, 20, "15"),
        (SEVERAL, 2, 20, "20"),
        (SEVERAL, 3, 25, "10"),
        (NOT_SHOWN, 2, 20, "30"),
        (NEVER_TAKEN, 2, 20, "30"),
        (LATER, 2, 20, "30"),
        (BURNT, 2, 20, "30"),
    ):
        back = Decimal(f"-{points}")
        add_cheque(
            story, client, number, day, -115 - number, month=4,
            Refund=True, Redeemed=back, Parent=None,
        )  # fmt: skip
    add_cheque(
        story, BESIDE_A_KNOWN_ONE, 3, 15, -500, month=4,
        Refund=True, Redeemed=Decimal(-30), Parent=BESIDE_A_KNOWN_ONE * 100 + 1,
    )  # fmt: skip
    for client in (SILENT, TAKEN_BEFORE):
        add_cheque(story, client, 2, 20, -117, month=4, Refund=True, Parent=None)
    customer = story.simulator.world.programme.customers[BURNT]
    story.author.lot(
        customer, BURNT * 1000 + 2, "2026-04-25T12:00:00", "-30", BonusSource=7,
        Parent=BURNT * 1000 + 1, Remain=None, Active=None,
    )  # fmt: skip
    add_cheque(
        story, KNOWN_SILENT, 2, 20, -500, month=4, Refund=True, Parent=KNOWN_SILENT * 100 + 1
    )
    for lot, remain in (
        ((PART, 1), "33.30"),
        ((TWO_LOTS, 1), "30"),
        ((WHOLE_AGAIN, 1), "60"),
        ((REDEEMED_AGAIN, 1), "30"),
        ((BESIDE_A_KNOWN_ONE, 1), "30"),
        ((BESIDE_A_KNOWN_ONE, 2), "35"),
        ((SEVERAL, 1), "30"),
        ((SILENT, 1), "25"),
        ((KNOWN_SILENT, 1), "30"),
    ):
        lots[lot].row["Remain"] = Decimal(remain)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("month", [MARCH, APRIL])
def test_what_was_known_of_a_month_stays(month: date, client: int, readings: Readings) -> None:
    then = readings.known[month].movements[client]
    for day, later in readings.known.items():
        if day > month:
            now = [movement for movement in later.movements[client] if movement[0] <= month]
            assert summed(now) == summed(then), f"{month:%B} after the reading of {day:%B}"


@pytest.mark.parametrize("answer", ["owed", "money", "vintage"])
@pytest.mark.parametrize("month", [MARCH, APRIL])
def test_answers_of_a_closed_month_stay(month: date, answer: str, readings: Readings) -> None:
    """The liability by source and expiry month, the roll-forward in money, the issue months."""
    assert_answer_stays(readings.known, month, answer)


def test_no_figure_of_a_closed_month_is_restated(readings: Readings) -> None:
    assert read_mart(readings.story.warehouse, "restated_answers") == []
    assert_as_if_computed_anew(readings.story.warehouse, "after May")


def test_points_given_back_are_those_of_the_lots_that_have_more_again(readings: Readings) -> None:
    """On the day of the refund, in the spending order."""
    found = readings.known[APRIL].movements
    first, second = date(2026, 3, 10), date(2026, 3, 20)
    assert found[PART] == [
        (first, "redeemed", 1, Decimal("-188.36")), (BACK, "redeemed", 1, Decimal("21.66")),
    ]  # fmt: skip
    assert found[TWO_LOTS] == [
        (first, "redeemed", 1, -60), (second, "redeemed", 2, -40), (BACK, "redeemed", 1, 30),
    ]  # fmt: skip
    assert found[WHOLE_AGAIN] == [(first, "redeemed", 1, -60), (BACK, "redeemed", 1, 60)]
    assert found[SEVERAL] == [
        (first, "redeemed", 1, -60),
        (BACK, "redeemed", 1, 20),
        (date(2026, 4, 25), "redeemed", 1, 10),
    ]


def test_points_given_back_are_redeemed_again(readings: Readings) -> None:
    assert readings.known[MAY].movements[REDEEMED_AGAIN] == [
        (date(2026, 3, 10), "redeemed", 1, -60),
        (BACK, "redeemed", 1, 30),
        (date(2026, 5, 10), "redeemed", 1, -25),
    ]


def test_a_refund_of_a_known_purchase_comes_first(readings: Readings) -> None:
    """It gave back to the lots of its purchase; the other lot is that of the other refund."""
    assert summed(readings.known[APRIL].movements[BESIDE_A_KNOWN_ONE]) == {
        (date(2026, 3, 10), "redeemed", 1): -60,
        (date(2026, 3, 20), "redeemed", 2): -40,
        (date(2026, 4, 15), "redeemed", 1): 30,
        (BACK, "redeemed", 2): 15,
    }


def test_a_refund_without_points_gave_back_what_lots_have_again(readings: Readings) -> None:
    """Whether its purchase is known or not."""
    for client, points in ((SILENT, 25), (KNOWN_SILENT, 30)):
        assert readings.known[APRIL].movements[client] == [
            (date(2026, 3, 10), "redeemed", 1, -60), (BACK, "redeemed", 1, points),
        ]  # fmt: skip


def test_points_that_no_lot_has_again_are_unexplained_on_the_day_of_the_refund(
    readings: Readings,
) -> None:
    """Also if a later reading sees them: it changes no day before it."""
    found = readings.known[MAY].movements
    assert found[NOT_SHOWN] == [
        (date(2026, 3, 10), "redeemed", 1, -60),
        (BACK, "redeemed", 0, 30),
        (BACK, "unexplained", 0, -30),
    ]
    assert found[LATER] == [*found[NOT_SHOWN], (MAY, "unexplained", 1, 30)]


def test_points_given_back_are_burnt_with_their_lot(readings: Readings) -> None:
    """Both readings saw it empty."""
    assert readings.known[APRIL].movements[BURNT] == [
        (date(2026, 3, 10), "redeemed", 1, -60),
        (BACK, "redeemed", 1, 30),
        (date(2026, 4, 25), "expired", 1, -30),
    ]


def test_a_refund_took_nothing_that_an_earlier_reading_saw_missing(readings: Readings) -> None:
    assert readings.known[MAY].movements[TAKEN_BEFORE] == [(MARCH, "unexplained", 1, -20)]


def _lot(
    story: Story, client: int, number: int, points: str, remain: Decimal | int, **fields: Any
) -> Entry:
    """A lot of 2 March, for cheque 0 of the client."""
    fields = {"ends": "2026-12-31T00:00:00", "ChequeId": client * 100, **fields}
    moment = "2026-03-02T12:00:00"
    return add_lot(story, client, number, moment, Decimal(points), Remain=Decimal(remain), **fields)
