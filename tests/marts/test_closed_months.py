"""Refunds and losses that are learned of later: months that readings have seen keep their figures.

Readings on the mornings after 31 March, 30 April, 15 June and 30 June: one sees the end of May and
the first half of June. Each client shows one case.
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
from tests.marts.purchases import add_cheque, add_lot
from tests.marts.stories import START, Story
from tests.marts.worlds import empty_world

pytestmark = pytest.mark.slow

MARCH, APRIL, MAY = date(2026, 3, 31), date(2026, 4, 30), date(2026, 5, 31)
MID_JUNE, JUNE = date(2026, 6, 15), date(2026, 6, 30)
BACK = date(2026, 4, 20)
CLIENTS = range(1, 15)
OF_A_CHEQUE, NAMELESS, SILENT, TWICE, *OTHERS = CLIENTS
NAMED_LATER, LOST_LATER, ENDED_LATER, SILENT_LATER, SHOWN_LATER, *OTHERS = OTHERS
SILENT_AGAIN, RISEN, TWO_ROWS, AGAIN, ENDED = OTHERS
# The one is merged into the other before the third reading.
MOVED, INTO = 15, 16


class Readings(NamedTuple):
    """The story after its last reading, and what the marts contained after each of them."""

    story: Story
    known: dict[date, Known]


@pytest.fixture(
    scope="module", params=["null", "true", "false"], ids="silent_refunds_give_back={}".format
)
def readings(
    request: pytest.FixtureRequest,
    postgres: str,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Readings]:
    with (
        cloned_warehouse(postgres, template) as warehouse,
        empty_world(START, datetime(2026, 3, 1, 1)) as simulator,
    ):
        with warehouse.connect(autocommit=True) as session:
            session.execute(
                "update mart.parameters set spending_order = 'soonest_to_expire',"
                f" silent_refunds_give_back = {request.param}".encode()
            )
        story = Story(simulator, warehouse, tmp_path_factory.mktemp("closed"))
        found = {}
        lots = _write_march(story)
        story.sync_day(MARCH)
        found[MARCH] = known(story, CLIENTS)
        _write_april(story, lots)
        story.sync_day(APRIL)
        found[APRIL] = known(story, CLIENTS)
        for client in (OF_A_CHEQUE, NAMELESS, SILENT):
            add_cheque(story, client, 3, 10, 500, month=5, Redeemed=Decimal(50))
        add_cheque(story, TWO_ROWS, 1, 20, 1000, month=5, Redeemed=Decimal(40))
        add_cheque(story, TWO_ROWS, 2, 5, 900, month=6, Redeemed=Decimal(20))
        _set(lots, {(TWO_ROWS, 1): 0, (TWO_ROWS, 2): 10, (SHOWN_LATER, 1): 60})
        _set(lots, {(SILENT_AGAIN, 1): 60, (RISEN, 1): 60})
        story.simulator.world.merge(MOVED, INTO)
        story.sync_day(MID_JUNE)
        found[MID_JUNE] = known(story, CLIENTS)
        _refund(story, TWO_ROWS, 3, 20, month=6, Redeemed=Decimal(-40))
        _set(lots, {(TWO_ROWS, 1): 40})
        story.sync_day(JUNE)
        found[JUNE] = known(story, CLIENTS)
        yield Readings(story, found)


def _write_march(story: Story) -> dict[tuple[int, int], Entry]:
    """Purchases, and lots by client and number as the reading of March sees them."""
    lots = {}
    for client in (*CLIENTS, MOVED, INTO):
        story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
        if client != INTO:
            add_cheque(story, client, 0, 2, 3000, Added=Decimal(100))
    for client in (*CLIENTS, MOVED):
        if client not in (OF_A_CHEQUE, NAMELESS, SILENT, TWICE, TWO_ROWS, AGAIN):
            lots[client, 1] = _lot(story, client, 1, 60)
        if client != TWO_ROWS:
            add_cheque(story, client, 1, 10, 1000, Redeemed=Decimal(60))
    lots[TWO_ROWS, 1] = _lot(story, TWO_ROWS, 1, 40, ends="2026-11-30T00:00:00")
    lots[TWO_ROWS, 2] = _lot(story, TWO_ROWS, 2, 30)
    lots[AGAIN, 1] = _lot(story, AGAIN, 1, 60, ends="2026-11-30T00:00:00")
    lots[AGAIN, 2] = _lot(story, AGAIN, 2, 60)
    _set(lots, {(ENDED_LATER, 1): 60, (AGAIN, 1): 0})
    for client in (SHOWN_LATER, SILENT_AGAIN, RISEN, ENDED):
        _set(lots, {(client, 1): 0})
    lots[ENDED_LATER, 1].row["ExpiryDate"] = "2026-04-15T12:00:00"
    lots[ENDED, 1].row["ExpiryDate"] = "2026-04-25T12:00:00"
    return lots


def _write_april(story: Story, lots: dict[tuple[int, int], Entry]) -> None:
    _refund(story, OF_A_CHEQUE, 2, 20, Redeemed=Decimal(-30))
    _refund(story, NAMELESS, 2, 20, Redeemed=Decimal(-30), Parent=None)
    _refund(story, SILENT, 2, 20)
    _refund(story, TWICE, 2, 20, Redeemed=Decimal(-30))
    add_cheque(story, TWICE, 3, 25, 500, month=4, Redeemed=Decimal(70))
    _refund(story, NAMED_LATER, 2, 20, Redeemed=Decimal(-60))
    _set(lots, {(LOST_LATER, 1): 0, (ENDED_LATER, 1): 0, (MOVED, 1): 0})
    _refund(story, SILENT_LATER, 2, 20)
    _refund(story, SHOWN_LATER, 2, 20, Redeemed=Decimal(-60))
    _refund(story, SILENT_AGAIN, 2, 20)
    _refund(story, AGAIN, 2, 20, Redeemed=Decimal(-60))
    add_cheque(story, AGAIN, 3, 25, 500, month=4, Redeemed=Decimal(30))
    _set(lots, {(AGAIN, 1): 30})
    _refund(story, ENDED, 2, 20, Redeemed=Decimal(-60))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("month", [MARCH, APRIL, MAY])
def test_what_was_known_of_a_month_stays(month: date, client: int, readings: Readings) -> None:
    now = {
        day: [movement for movement in later.movements[client] if movement[0] <= month]
        for day, later in readings.known.items()
        if day >= month
    }
    first = min(now)
    assert {day: now[day] == now[first] for day in now} == dict.fromkeys(now, True), now


@pytest.mark.parametrize("answer", ["owed", "money", "vintage"])
@pytest.mark.parametrize("month", [MARCH, APRIL])
def test_answers_of_a_closed_month_stay(month: date, answer: str, readings: Readings) -> None:
    """The liability by source and expiry month, the roll-forward in money, the issue months."""
    assert_answer_stays(readings.known, month, answer)


def test_no_figure_of_a_closed_month_is_restated(readings: Readings) -> None:
    assert read_mart(readings.story.warehouse, "restated_answers") == []


def test_a_refresh_equals_a_full_one(readings: Readings) -> None:
    assert_as_if_computed_anew(readings.story.warehouse, "after June")


def _refund(story: Story, client: int, number: int, day: int, month: int = 4, **f: Any) -> None:
    """A refund of cheque 1 of the client: of half of it, unless it gives back 60 points."""
    fields = {"Refund": True, "Parent": client * 100 + 1, **f}
    amount = -1000 if fields.get("Redeemed") == -60 else -500
    add_cheque(story, client, number, day, amount, month=month, **fields)


def _set(lots: dict[tuple[int, int], Entry], remains: dict[tuple[int, int], int]) -> None:
    for lot, remain in remains.items():
        lots[lot].row["Remain"] = Decimal(remain)


def _lot(story: Story, client: int, number: int, points: int, **fields: Any) -> Entry:
    """A lot of 2 March, for cheque 0 of the client."""
    fields = {"ends": "2026-12-31T00:00:00", "ChequeId": client * 100, **fields}
    return add_lot(story, client, number, "2026-03-02T12:00:00", points, **fields)
