"""Refunds that were read together with their purchases, so that no reading saw what lots lost."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

import pytest

from tests.databases import cloned_warehouse
from tests.marts.purchases import add_cheque, add_lot, summed, taken
from tests.marts.stories import START, Story
from tests.marts.worlds import empty_world

pytestmark = pytest.mark.slow

STATED, ENDED = range(1, 3)
LAST = date(2026, 3, 20)


@pytest.fixture(scope="module")
def read_once(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """A warehouse after its first load, with a spending order that is set."""
    with (
        cloned_warehouse(postgres, template) as warehouse,
        empty_world(START, datetime(2026, 3, 1, 1)) as simulator,
    ):
        with warehouse.connect(autocommit=True) as session:
            session.execute("update mart.parameters set spending_order = 'oldest_first'")
        story = Story(simulator, warehouse, tmp_path_factory.mktemp("first"))
        for client in (STATED, ENDED):
            story.author.client(client, "2026-03-01T01:00:00", [{"Card": client}])
            add_lot(story, client, 1, "2026-03-01T12:00:00", 60, Remain=Decimal(40))
            add_cheque(story, client, 0, 4, 800, Redeemed=Decimal(40))
            add_cheque(story, client, 9, 6, 300, Redeemed=Decimal(20))
        empty = {"Remain": Decimal(0)}
        add_lot(story, STATED, 2, "2026-03-04T12:00:00", 20, ChequeId=STATED * 100, **empty)
        add_lot(story, ENDED, 2, "2026-03-02T12:00:00", 50, ends="2026-03-08T12:00:00", **empty)
        returned = {"Refund": True, "Redeemed": Decimal(-40)}
        add_cheque(story, STATED, 8, 10, 800, Added=Decimal(-20), **returned)
        add_cheque(story, ENDED, 8, 10, 800, **returned)
        story.sync_day(LAST)
        yield story


def test_a_stated_refund_took_the_points_of_its_purchase(read_once: Story) -> None:
    """The second lot lost its points to the refund, and not to the second cheque."""
    assert summed(taken(read_once, STATED)) == {
        (date(2026, 3, 4), "redeemed", 0): -40,
        (date(2026, 3, 6), "redeemed", 1): -20,
        (date(2026, 3, 10), "clawed_back", 2): -20,
        (date(2026, 3, 10), "redeemed", 0): 40,
    }


def test_points_of_a_lot_that_ended_before_a_stated_refund_expired(read_once: Story) -> None:
    """The points came back to the first lot, as its remain shows."""
    assert summed(taken(read_once, ENDED)) == {
        (date(2026, 3, 4), "redeemed", 0): -40,
        (date(2026, 3, 6), "redeemed", 1): -20,
        (date(2026, 3, 8), "expired", 2): -50,
        (date(2026, 3, 10), "redeemed", 0): 40,
    }
