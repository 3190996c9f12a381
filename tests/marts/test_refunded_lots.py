"""Which lots a refund took from, and which a redemption, where the rows leave one answer.

Each client shows one case. Readings on the mornings after 5, 15 and 31 March.
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lcm_pipeline.simulator.customers import Entry
from lcm_pipeline.warehouse.connection import Warehouse
from tests.databases import cloned_warehouse
from tests.marts.comparing import read_mart
from tests.marts.life import assert_as_if_computed_anew
from tests.marts.purchases import add_cheque, add_lot, summed, taken
from tests.marts.stories import START, Story
from tests.marts.worlds import empty_world

pytestmark = pytest.mark.slow

CLIENTS = range(1, 21)
PENDING, ENDING, RETURNED, PARTIAL, BURNT_IN_PART, WHOLE_CHEQUE, PART_OF_CHEQUE, *OTHERS = CLIENTS
BEFORE, SILENT, NAMELESS, MEANWHILE, TAKEN_LATER, BESIDE, SHARED, UNTOUCHED, *OTHERS = OTHERS
AGAIN, GIVEN_LATER = OTHERS[:3], OTHERS[3:]
REDEEMED_AGAIN, BURNT_AGAIN, CLAWED_BACK_AGAIN = AGAIN
REFUNDED_SINCE, REFUNDED_BEFORE = GIVEN_LATER
FIRST, SECOND, THIRD = date(2026, 3, 5), date(2026, 3, 15), date(2026, 3, 31)
_LATE = "2026-12-31T00:00:00"


@pytest.fixture(scope="module")
def refunded(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """A warehouse after the third reading, with a spending order that is set."""
    with (
        cloned_warehouse(postgres, template) as warehouse,
        empty_world(START, datetime(2026, 3, 1, 1)) as simulator,
    ):
        with warehouse.connect(autocommit=True) as session:
            session.execute("update mart.parameters set spending_order = 'soonest_to_expire'")
        story = Story(simulator, warehouse, tmp_path_factory.mktemp("refunds"))
        for client in CLIENTS:
            story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
        lots = _write_purchases(story)
        story.sync_day(FIRST)
        _write_refunds(story, lots)
        story.sync_day(SECOND)
        # Given back on 10 March, after the first reading had seen it empty; ended before the third.
        add_cheque(story, RETURNED, 2, 16, -500, Refund=True, Redeemed=Decimal(-50))
        for client, points in ((WHOLE_CHEQUE, 50), (PART_OF_CHEQUE, 80)):
            add_cheque(story, client, 3, 20, 700, Redeemed=Decimal(points))
        story.sync_day(THIRD)
        yield story


def _write_purchases(story: Story) -> dict[tuple[int, int], Entry]:
    """Purchases of 2 March, and lots by client and number."""
    lots = {
        (PENDING, 1): _lot(story, PENDING, 1, 60),
        (PENDING, 2): _lot(story, PENDING, 2, 60, starts="2026-03-25T00:00:00"),
        (SHARED, 1): _lot(story, SHARED, 1, 50, ends="2026-03-09T12:00:00"),
        (SHARED, 2): _lot(story, SHARED, 2, 50),
        (UNTOUCHED, 1): _lot(story, UNTOUCHED, 1, 60),
        (UNTOUCHED, 2): _lot(story, UNTOUCHED, 2, 50, ChequeId=None),
        (ENDING, 1): _lot(story, ENDING, 1, 60, ends="2026-03-09T12:00:00"),
        (ENDING, 2): _lot(story, ENDING, 2, 60),
        (RETURNED, 1): _lot(story, RETURNED, 1, 50, ends="2026-03-20T12:00:00", ChequeId=None),
        (PARTIAL, 1): _lot(story, PARTIAL, 1, 100, ends="2026-03-09T12:00:00"),
        (PARTIAL, 2): _lot(story, PARTIAL, 2, 50, ChequeId=None),
        (BEFORE, 1): _lot(story, BEFORE, 1, 100, ends="2026-03-04T20:00:00", Remain=Decimal(0)),
        (BEFORE, 2): _lot(story, BEFORE, 2, 50, ChequeId=None, Remain=Decimal(0)),
        (SILENT, 1): _lot(story, SILENT, 1, 50, ChequeId=None, Remain=Decimal(0)),
        (MEANWHILE, 1): _lot(story, MEANWHILE, 1, 100, ends=None, ChequeId=None, Remain=Decimal(0)),
        (TAKEN_LATER, 1): _lot(story, TAKEN_LATER, 1, 50, ChequeId=None, Remain=Decimal(0)),
        (TAKEN_LATER, 2): _lot(
            story, TAKEN_LATER, 2, 50, ends="2026-03-09T12:00:00", ChequeId=None, Remain=Decimal(0)
        ),
        (BESIDE, 1): _lot(
            story, BESIDE, 1, 50, ends="2026-03-10T12:00:00", ChequeId=None, Remain=Decimal(0)
        ),
        (BURNT_IN_PART, 1): _lot(
            story, BURNT_IN_PART, 1, 100, ends="2026-03-10T12:00:00", ChequeId=None
        ),
    }
    lots |= {
        (client, number): _lot(
            story, client, number, 50, ends=ends,
            ChequeId=client * 100 + 1 if (client, number) == (CLAWED_BACK_AGAIN, 1) else None,
        )
        for client in AGAIN
        for number, ends in (
            (1, _LATE if client == REDEEMED_AGAIN else "2026-03-10T12:00:00"),
            (2, "2026-03-11T12:00:00"),
        )
    }  # fmt: skip
    points = {PENDING: 120, ENDING: 120, PARTIAL: 100, WHOLE_CHEQUE: 100, PART_OF_CHEQUE: 100,
              BEFORE: 100, SHARED: 100, UNTOUCHED: 60}  # fmt: skip
    for client, given in points.items():
        add_cheque(story, client, 0, 2, 1000, Added=Decimal(given))
    for client in (WHOLE_CHEQUE, PART_OF_CHEQUE, SILENT):
        add_cheque(story, client, 1, 3, 500, Added=Decimal(50))
    add_cheque(story, SILENT, 0, 4, 500, Redeemed=Decimal(100))
    add_cheque(story, CLAWED_BACK_AGAIN, 1, 2, 1000, Added=Decimal(50))
    for client in (NAMELESS, MEANWHILE, BESIDE):
        add_cheque(story, client, 1, 1, 500, Added=Decimal(50))
    add_cheque(story, MEANWHILE, 2, 5, 500, Redeemed=Decimal(100))
    add_cheque(story, BESIDE, 2, 5, 500, Redeemed=Decimal(50))
    add_cheque(story, TAKEN_LATER, 1, 3, 500, Redeemed=Decimal(50))
    for client in (RETURNED, NAMELESS, MEANWHILE, TAKEN_LATER, BESIDE, *AGAIN):
        add_cheque(story, client, 0, 4, 500, Redeemed=Decimal(50))
    for client in AGAIN:
        lots[client, 1].row["Remain"] = Decimal(0)
    lots[RETURNED, 1].row["Remain"] = Decimal(0)
    add_cheque(story, BEFORE, 2, 3, -400, Refund=True)
    add_cheque(story, BEFORE, 3, 4, 600, Redeemed=Decimal(110))
    return lots


def _write_refunds(story: Story, lots: dict[tuple[int, int], Entry]) -> None:
    add_cheque(story, PENDING, 1, 7, 300, Redeemed=Decimal(60))
    add_cheque(story, PENDING, 2, 8, -1000, Refund=True, Added=Decimal(-60))
    add_cheque(story, ENDING, 2, 8, -400, Refund=True, Added=Decimal(-48))
    add_cheque(story, SHARED, 2, 8, -400, Refund=True, Added=Decimal(-40))
    add_cheque(story, SHARED, 3, 12, 500, Redeemed=Decimal(30))
    for client, number in ((SHARED, 1), (SHARED, 2), (UNTOUCHED, 1), (UNTOUCHED, 2)):
        lots[client, number].row["Remain"] = Decimal(0)
    add_cheque(story, PARTIAL, 2, 6, -400, Refund=True)
    add_cheque(story, PARTIAL, 3, 7, 600, Redeemed=Decimal(110))
    add_cheque(story, WHOLE_CHEQUE, 2, 10, -1000, Refund=True)
    add_cheque(story, PART_OF_CHEQUE, 2, 10, -400, Refund=True)
    add_cheque(story, SILENT, 2, 10, -500, Refund=True)
    add_cheque(story, UNTOUCHED, 2, 8, -1000, Refund=True)
    add_cheque(story, UNTOUCHED, 3, 9, 600, Redeemed=Decimal(110))
    for client in AGAIN:
        add_cheque(story, client, 2, 7, -500, Refund=True, Redeemed=Decimal(-50))
        lots[client, 2].row["Remain"] = Decimal(0)
    add_cheque(story, REDEEMED_AGAIN, 3, 9, 700, Redeemed=Decimal(50))
    add_cheque(story, NAMELESS, 2, 10, -200, Refund=True, Redeemed=Decimal(-20), Parent=None)
    for client in (MEANWHILE, TAKEN_LATER, BESIDE):
        add_cheque(story, client, 3, 7, -500, Refund=True, Redeemed=Decimal(-50))
    add_cheque(story, TAKEN_LATER, 4, 12, 500, Redeemed=Decimal(50))
    add_cheque(story, BURNT_IN_PART, 2, 8, -400, Refund=True, Parent=None)
    for client, points in ((BURNT_AGAIN, 50), (BURNT_IN_PART, 60)):
        customer = story.simulator.world.programme.customers[client]
        story.author.lot(
            customer, client * 1000 + 3, "2026-03-10T12:00:00", str(-points), BonusSource=7,
            Parent=client * 1000 + 1, Remain=None, Active=None,
        )  # fmt: skip
    add_cheque(story, CLAWED_BACK_AGAIN, 3, 8, -1000, Refund=True, Added=Decimal(-50),
            Parent=CLAWED_BACK_AGAIN * 100 + 1)  # fmt: skip
    for client in GIVEN_LATER:
        add_cheque(story, client, 1, 8, 1000, Added=Decimal(50))
        add_lot(story, client, 1, "2026-03-08T12:00:00", 50, Remain=Decimal(30),
                ends=_LATE, ChequeId=client * 100 + 1)  # fmt: skip
        add_cheque(story, client, 2, 7, -900, Refund=True, Parent=None)
    add_cheque(story, REFUNDED_SINCE, 3, 10, -400, Refund=True, Parent=None)
    lots[SILENT, 1].row["Remain"] = Decimal(50)
    for lot in (
        *((PENDING, number) for number in (1, 2)),
        (ENDING, 1),
        (PARTIAL, 1),
        (PARTIAL, 2),
        (BURNT_IN_PART, 1),
    ):
        lots[lot].row["Remain"] = Decimal(0)
    lots[ENDING, 2].row["Remain"] = Decimal(36)


def test_a_stated_claw_back_leaves_to_a_redemption_what_only_that_can_havetaken(
    refunded: Story,
) -> None:
    """The second lot could not be redeemed yet."""
    assert taken(refunded, PENDING) == [
        (date(2026, 3, 7), "redeemed", 1, -60),
        (date(2026, 3, 8), "clawed_back", 2, -60),
    ]


def test_a_stated_claw_back_explains_first_what_did_not_expire(refunded: Story) -> None:
    assert taken(refunded, ENDING) == [
        (date(2026, 3, 8), "clawed_back", 1, -24),
        (date(2026, 3, 8), "clawed_back", 2, -24),
        (date(2026, 3, 9), "expired", 1, -36),
    ]


def test_a_stated_claw_back_takes_of_each_lot_its_share(refunded: Story) -> None:
    assert taken(refunded, SHARED) == [
        (date(2026, 3, 8), "clawed_back", 1, -20),
        (date(2026, 3, 8), "clawed_back", 2, -20),
        (date(2026, 3, 9), "expired", 1, -30),
        (date(2026, 3, 12), "redeemed", 2, -30),
    ]


def test_points_given_back_to_a_lot_that_ends_before_the_next_reading_expire(
    refunded: Story,
) -> None:
    assert taken(refunded, RETURNED) == [
        (date(2026, 3, 4), "redeemed", 1, -50),
        (date(2026, 3, 16), "redeemed", 1, 50),
        (date(2026, 3, 20), "expired", 1, -50),
    ]


def test_points_given_back_between_two_readings_are_lost_once_more_before_others_are(
    refunded: Story,
) -> None:
    """Both readings saw the first lot empty. The second lot expired."""
    redeemed, returned = (date(2026, 3, 4), "redeemed", 1, -50), (date(2026, 3, 7), "redeemed")
    expired = (date(2026, 3, 11), "expired", 2, -50)
    assert taken(refunded, REDEEMED_AGAIN) == [
        redeemed, (*returned, 0, 50), (date(2026, 3, 9), "redeemed", 0, -50), expired,
    ]  # fmt: skip
    assert taken(refunded, BURNT_AGAIN) == [
        redeemed, (*returned, 1, 50), (date(2026, 3, 10), "expired", 1, -50), expired,
    ]  # fmt: skip
    assert taken(refunded, CLAWED_BACK_AGAIN) == [
        redeemed, (*returned, 1, 50), (date(2026, 3, 8), "clawed_back", 1, -50), expired,
    ]  # fmt: skip


def test_a_refund_took_nothing_of_a_lot_that_was_given_later(refunded: Story) -> None:
    """Of two refunds without purchase and points, the one after the lot was given took them."""
    assert taken(refunded, REFUNDED_SINCE) == [(date(2026, 3, 10), "clawed_back", 1, -20)]
    assert taken(refunded, REFUNDED_BEFORE) == [(SECOND, "unexplained", 1, -20)]


def test_what_rows_took_after_points_were_given_back_did_not_expire(refunded: Story) -> None:
    """The refund gave back to the first lot; the second one, as empty as that, ended meanwhile."""
    found = taken(refunded, TAKEN_LATER)
    assert [(day.day, kind, points) for day, kind, _, points in found] == [
        (3, "redeemed", -50), (4, "redeemed", -50), (7, "redeemed", 50), (12, "redeemed", -50),
    ]  # fmt: skip


def test_points_given_back_to_a_lot_that_ended_expire_beside_those_that_a_cheque_states(
    refunded: Story,
) -> None:
    assert taken(refunded, BESIDE) == [
        (date(2026, 3, 4), "redeemed", 1, -50),
        (date(2026, 3, 5), "redeemed", (BESIDE * 100 + 1) % 1000, -50),
        (date(2026, 3, 7), "redeemed", 1, 50),
        (date(2026, 3, 10), "expired", 1, -50),
    ]


def test_a_refund_without_its_cheque_gives_back_to_points_that_only_a_cheque_states(
    refunded: Story,
) -> None:
    cheque = (NAMELESS * 100 + 1) % 1000
    assert summed(taken(refunded, NAMELESS)) == {
        (date(2026, 3, 4), "redeemed", 1): -50,
        (date(2026, 3, 10), "redeemed", cheque): 20,
    }


def test_points_given_back_later_were_not_there_for_the_next_redemption(refunded: Story) -> None:
    """The first cheque had redeemed what another cheque states; so the second used the lot."""
    cheque = (MEANWHILE * 100 + 1) % 1000
    assert taken(refunded, MEANWHILE) == [
        (date(2026, 3, 4), "redeemed", cheque, -50),
        (date(2026, 3, 5), "redeemed", 1, -100),
        (date(2026, 3, 7), "redeemed", cheque, 50),
    ]


def test_what_a_burn_of_a_lot_does_not_cover_did_not_expire(refunded: Story) -> None:
    """A refund that names neither a cheque nor points may have taken the rest."""
    assert taken(refunded, BURNT_IN_PART) == [
        (date(2026, 3, 8), "clawed_back", 1, -40),
        (date(2026, 3, 10), "expired", 1, -60),
    ]


def test_a_silent_refund_of_a_part_is_found_beside_a_redemption_of_the_same_reading(
    refunded: Story,
) -> None:
    assert taken(refunded, PARTIAL) == [
        (date(2026, 3, 6), "clawed_back", 1, -40),
        (date(2026, 3, 7), "redeemed", 1, -60),
        (date(2026, 3, 7), "redeemed", 2, -50),
    ]


def test_a_silent_refund_of_a_part_is_found_before_the_first_reading_too(refunded: Story) -> None:
    assert taken(refunded, BEFORE) == [
        (date(2026, 3, 3), "clawed_back", 1, -40),
        (date(2026, 3, 4), "redeemed", 1, -60),
        (date(2026, 3, 4), "redeemed", 2, -50),
    ]


def test_what_only_a_later_redemption_explains_was_not_taken_by_a_silent_refund(
    refunded: Story,
) -> None:
    """The refund of the first lot's purchase left its points to the client."""
    assert taken(refunded, UNTOUCHED) == [
        (date(2026, 3, 9), "redeemed", 1, -60),
        (date(2026, 3, 9), "redeemed", 2, -50),
    ]


def test_a_redemption_takes_nothing_of_a_cheque_that_was_refunded_before(refunded: Story) -> None:
    """No row says what remains of the points of a cheque."""
    assert taken(refunded, WHOLE_CHEQUE) == [
        (date(2026, 3, 10), "clawed_back", WHOLE_CHEQUE * 100, -100),
        (date(2026, 3, 20), "redeemed", WHOLE_CHEQUE * 100 + 1, -50),
    ]
    assert taken(refunded, PART_OF_CHEQUE) == [
        (date(2026, 3, 10), "clawed_back", PART_OF_CHEQUE * 100, -40),
        (date(2026, 3, 20), "redeemed", PART_OF_CHEQUE * 100, -60),
        (date(2026, 3, 20), "redeemed", PART_OF_CHEQUE * 100 + 1, -20),
    ]


def test_a_silent_refund_that_gave_back_to_one_lot_gave_back_to_all(refunded: Story) -> None:
    """The cheque had redeemed a lot that was seen whole again, and one that a cheque states."""
    cheque = (SILENT * 100 + 1) % 1000
    assert taken(refunded, SILENT) == [
        (date(2026, 3, 4), "redeemed", 1, -50),
        (date(2026, 3, 4), "redeemed", cheque, -50),
        (date(2026, 3, 10), "redeemed", 1, 50),
        (date(2026, 3, 10), "redeemed", cheque, 50),
    ]


def test_a_refresh_of_the_refunded_clients_equals_a_full_one(refunded: Story) -> None:
    assert_as_if_computed_anew(refunded.warehouse, "after three readings")


def test_where_refunds_state_their_points_one_of_none_took_none(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """A redemption after it may have used the lots of its cheque, which came back in between."""
    with empty_world(START, datetime(2026, 3, 1, 1)) as simulator:
        story = Story(simulator, warehouse, tmp_path)
        for client in range(1, 23):
            story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
        for client in range(1, 21):
            _lot(story, client, 1, 60, Remain=Decimal(0))
            add_cheque(story, client, 0, 2, 1000, Added=Decimal(60))
            add_cheque(story, client, 1, 3, -1000, Refund=True, Added=Decimal(-60))
        _lot(story, 21, 1, 60, Remain=Decimal(0))
        for client in (21, 22):
            add_cheque(story, client, 0, 2, 1000, Added=Decimal(60))
            add_cheque(story, client, 1, 3, 500, Redeemed=Decimal(60))
            add_cheque(story, client, 2, 4, -1000, Refund=True, Added=Decimal(0))
            add_cheque(story, client, 3, 5, -500, Refund=True, Redeemed=Decimal(-60),
                    Parent=client * 100 + 1)  # fmt: skip
            add_cheque(story, client, 4, 6, 700, Redeemed=Decimal(60))
        story.sync_day(FIRST)
        story.sync_day(SECOND)
    # Without its lots: redeemed by the first cheque, and given back.
    for client, lot in ((21, 1), (22, 200)):
        assert taken(story, client) == [
            (date(2026, 3, 3), "redeemed", 0, -60),
            (date(2026, 3, 5), "redeemed", 0, 60),
            (date(2026, 3, 6), "redeemed", lot, -60),
        ]
    assert taken(story, 1) == [(date(2026, 3, 3), "clawed_back", 1, -60)]


def test_what_readings_saw_lost_and_given_back_is_of_these_lots(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """A refund of a later month moves no day before it from the lots to nowhere."""
    whole, part = 1, 2
    with empty_world(START, datetime(2026, 3, 1, 1)) as simulator:
        story = Story(simulator, warehouse, tmp_path)
        lots = {}
        for client in (whole, part):
            story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
            add_cheque(story, client, 0, 2, 1000, Added=Decimal(80))
            for number, points in ((1, 50), (2, 30)):
                lots[client, number] = _lot(story, client, number, points)
        story.sync_day(FIRST)
        for client in (whole, part):
            add_cheque(story, client, 1, 8, 500, Redeemed=Decimal(70))
            lots[client, 1].row["Remain"] = Decimal(0)
            lots[client, 2].row["Remain"] = Decimal(10)
        story.sync_day(SECOND)
        before = {client: taken(story, client) for client in (whole, part)}
        owed = _owed(story, SECOND)
        add_cheque(story, whole, 2, 20, -500, Refund=True, Redeemed=Decimal(-70), Parent=101)
        add_cheque(story, part, 2, 20, -200, Refund=True, Redeemed=Decimal(-28), Parent=201)
        for lot, remain in (((whole, 1), 50), ((whole, 2), 30), ((part, 1), 28)):
            lots[lot].row["Remain"] = Decimal(remain)
        story.sync_day(THIRD)
        assert_as_if_computed_anew(story.warehouse, "after the refunds")
    day, back = date(2026, 3, 8), date(2026, 3, 20)
    assert before[part] == [(day, "redeemed", 1, -50), (day, "redeemed", 2, -20)]
    assert taken(story, whole) == [
        *before[whole], (back, "redeemed", 1, 50), (back, "redeemed", 2, 20),
    ]  # fmt: skip
    assert summed(taken(story, part)) == summed([*before[part], (back, "redeemed", 1, 28)])
    assert _owed(story, SECOND) == owed


def test_what_was_given_back_to_a_lot_that_had_been_emptied_since_is_of_that_lot(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Its loss is not taken for that of the later redemption, which has one of its own."""
    alone, again = 1, 2
    with empty_world(START, datetime(2026, 3, 1, 1)) as simulator:
        story = Story(simulator, warehouse, tmp_path)
        lots = {}
        for client in (alone, again):
            story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
            lots[client] = _lot(story, client, 1, 200, ChequeId=None)
        story.sync_day(FIRST)
        for day, number, points, remain in ((8, 1, 70, 130), (18, 2, 130, 0)):
            for client in (alone, again):
                add_cheque(story, client, number, day, 500, Redeemed=Decimal(points))
                lots[client].row["Remain"] = Decimal(remain)
            story.sync_day(date(2026, 3, day + 1))
        before = {client: taken(story, client) for client in lots}
        owed = _owed(story, SECOND)
        for client in lots:
            add_cheque(
                story, client, 3, 25, -500, Refund=True, Redeemed=Decimal(-70),
                Parent=client * 100 + 1,
            )  # fmt: skip
            lots[client].row["Remain"] = Decimal(70)
        add_cheque(story, again, 4, 26, 500, Redeemed=Decimal(20))
        lots[again].row["Remain"] = Decimal(50)
        story.sync_day(THIRD)
        assert_as_if_computed_anew(story.warehouse, "after the refunds")
    back = (date(2026, 3, 25), "redeemed", 1, 70)
    assert before[alone] == [
        (date(2026, 3, 8), "redeemed", 1, -70), (date(2026, 3, 18), "redeemed", 1, -130),
    ]  # fmt: skip
    assert taken(story, alone) == [*before[alone], back]
    # The two rows of the last reading are seen only together.
    earlier = [movement for movement in taken(story, again) if movement[0] < back[0]]
    assert summed(earlier) == summed(before[again])
    assert _owed(story, SECOND) == owed


def test_what_silent_refunds_gave_back_by_convention_is_not_taken_by_an_earlier_refund(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """It came back after the refund of its own cheque, or left a lot seen empty once more.

    That ended, or its own cheque was refunded too, in whole or in part.
    """
    of_a_cheque, ended, whole, part, beside = range(1, 6)
    with warehouse.connect(autocommit=True) as session:
        session.execute("update mart.parameters set silent_refunds_give_back = true")
    with empty_world(START, datetime(2026, 3, 1, 1)) as simulator:
        story = Story(simulator, warehouse, tmp_path)
        lots = {}
        for client in (of_a_cheque, ended, whole, part, beside):
            story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
            add_cheque(story, client, 1, 4, 500, Redeemed=Decimal(50))
        add_cheque(story, of_a_cheque, 0, 2, 1000, Added=Decimal(50))
        _lot(story, ended, 1, 50, ends="2026-03-10T12:00:00", ChequeId=None, Remain=Decimal(0))
        for client in (whole, part, beside):
            add_cheque(story, client, 0, 2, 1000, Added=Decimal(50))
            lots[client] = _lot(story, client, 1, 50, Remain=Decimal(0))
        # Of this client, only a cheque states a lot.
        add_cheque(story, beside, 9, 3, 1000, Added=Decimal(20))
        story.sync_day(FIRST)
        for client in (whole, part, beside):
            add_cheque(story, client, 2, 7, -500, Refund=True, Parent=client * 100 + 1)
            add_cheque(story, client, 3, 8, -400 if client == part else -1000, Refund=True)
        lots[part].row["Remain"] = Decimal(30)
        add_cheque(story, of_a_cheque, 2, 7, -1000, Refund=True)
        add_cheque(story, of_a_cheque, 3, 8, -500, Refund=True, Parent=of_a_cheque * 100 + 1)
        add_cheque(story, ended, 2, 7, -500, Refund=True, Parent=ended * 100 + 1)
        story.sync_day(SECOND)
    assert taken(story, of_a_cheque) == [
        (date(2026, 3, 4), "redeemed", 100, -50), (date(2026, 3, 8), "redeemed", 100, 50),
    ]  # fmt: skip
    assert taken(story, ended) == [
        (date(2026, 3, 4), "redeemed", 1, -50),
        (date(2026, 3, 7), "redeemed", 1, 50),
        (date(2026, 3, 10), "expired", 1, -50),
    ]
    for client, points in ((whole, 50), (beside, 50), (part, 20)):
        assert summed(taken(story, client)) == {
            (date(2026, 3, 4), "redeemed", 1): -50,
            (date(2026, 3, 7), "redeemed", 1): 50,
            (date(2026, 3, 8), "clawed_back", 1): -points,
        }


def test_what_a_silent_refund_gave_back_by_convention_expires_with_its_lot_or_is_clawed_back(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Also if one reading first had the purchase, the refund and the end of the lot."""
    ended, before, refunded = 1, 2, 3
    with warehouse.connect(autocommit=True) as session:
        session.execute("update mart.parameters set silent_refunds_give_back = true")
    with empty_world(START, datetime(2026, 3, 1, 1)) as simulator:
        story = Story(simulator, warehouse, tmp_path)
        lots = {}
        for client, ends in ((ended, 10), (before, 8), (refunded, 31)):
            story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
            add_cheque(story, client, 0, 2, 1000, Added=Decimal(50))
            lots[client] = _lot(story, client, 1, 50, ends=f"2026-03-{ends:02}T12:00:00")
        story.sync_day(FIRST)
        for client, lot in lots.items():
            add_cheque(story, client, 1, 7, 500, Redeemed=Decimal(50))
            add_cheque(story, client, 2, 9, -500, Refund=True, Parent=client * 100 + 1)
            lot.row["Remain"] = Decimal(0)
        add_cheque(story, refunded, 3, 10, -1000, Refund=True)
        story.sync_day(SECOND)
    day, back = date(2026, 3, 7), date(2026, 3, 9)
    assert taken(story, ended) == [
        (day, "redeemed", 1, -50),
        (back, "redeemed", 1, 50),
        (date(2026, 3, 10), "expired", 1, -50),
    ]
    assert taken(story, before) == [(day, "redeemed", 1, -50)]
    assert taken(story, refunded) == [
        (day, "redeemed", 1, -50),
        (back, "redeemed", 1, 50),
        (date(2026, 3, 10), "clawed_back", 1, -50),
    ]


def test_what_was_redeemed_later_on_the_expiry_day_did_not_expire(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """A lot is gone at the end of its expiry day, whatever the hour of it."""
    with empty_world(START, datetime(2026, 3, 1, 1)) as simulator:
        story = Story(simulator, warehouse, tmp_path)
        lots = {}
        for client, ends in ((1, "2026-03-08T11:00:00"), (2, "2026-03-07T11:00:00")):
            story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
            lots[client] = _lot(story, client, 1, 50, ends=ends, ChequeId=None)
        story.sync_day(FIRST)
        for client, lot in lots.items():
            add_cheque(story, client, 1, 8, 500, Redeemed=Decimal(40))
            lot.row["Remain"] = Decimal(0)
        story.sync_day(SECOND)
    day = date(2026, 3, 8)
    assert taken(story, 1) == [(day, "expired", 1, -10), (day, "redeemed", 1, -40)]
    assert taken(story, 2) == [
        (date(2026, 3, 7), "expired", 1, -50),
        (day, "redeemed", 0, -40),
        (day, "unexplained", 0, 40),
    ]


def _owed(story: Story, day: date) -> dict[Any, Decimal]:
    """What was owed at the end of a day, by bonus source and expiry month."""
    return {
        (row["bonus_source"], row["expiry_month"]): row["outstanding_points"]
        for row in read_mart(story.warehouse, "points_liability_daily")
        if row["day"] == day
    }


def _lot(story: Story, client: int, number: int, points: int, **fields: Any) -> Entry:
    """A lot of 2 March, for cheque 0 of the client, that does not end in March."""
    fields = {"ends": _LATE, "ChequeId": client * 100, **fields}
    return add_lot(story, client, number, "2026-03-02T09:00:00", points, **fields)
