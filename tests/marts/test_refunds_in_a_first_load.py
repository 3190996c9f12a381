"""Refunds that were read together with their purchases, so that no reading saw what lots lost."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.databases import cloned_warehouse
from tests.marts.comparing import read_mart
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
            _lot(story, client, 1, 1, 60, left=40)
            _cheque(story, client, 0, 4, 800, Redeemed=Decimal(40))
            _cheque(story, client, 9, 6, 300, Redeemed=Decimal(20))
        _lot(story, STATED, 2, 4, 20, left=0, ChequeId=STATED * 100)
        _cheque(story, STATED, 8, 10, 800, Refund=True, Redeemed=Decimal(-40), Added=Decimal(-20))
        _lot(story, ENDED, 2, 2, 50, left=0, ends="2026-03-08T12:00:00")
        _cheque(story, ENDED, 8, 10, 800, Refund=True, Redeemed=Decimal(-40))
        story.sync_day(LAST)
        yield story


def test_a_stated_refund_took_the_points_of_its_purchase(read_once: Story) -> None:
    """The second lot lost its points to the refund, and not to the second cheque."""
    assert _taken(read_once, STATED) == [
        (4, "redeemed", None, -40),
        (6, "redeemed", 1, -20),
        (10, "clawed_back", 2, -20),
        (10, "redeemed", None, 40),
    ]


def test_points_of_a_lot_that_ended_before_a_stated_refund_expired(read_once: Story) -> None:
    """The points came back to the first lot, as its remain shows."""
    assert _taken(read_once, ENDED) == [
        (4, "redeemed", None, -40),
        (6, "redeemed", 1, -20),
        (8, "expired", 2, -50),
        (10, "redeemed", None, 40),
    ]


def _taken(story: Story, client: int) -> list[tuple[int, str, int | None, Decimal]]:
    """The day of March, kind, number of the lot and points of what was not given."""
    taken: Counter[tuple[int, str, int | None]] = Counter()
    for row in read_mart(story.warehouse, "points_movements"):
        if row["client_id"] == client and row["kind"] != "added":
            lot = row["lot_id"] and row["lot_id"] % 100
            taken[row["movement_date"].day, row["kind"], lot] += row["points"]
    return sorted((*which, points) for which, points in taken.items())


def _lot(
    story: Story, client: int, number: int, day: int, points: int, *, left: int, **fields: Any
) -> None:
    """A lot that is given at noon of a day of March."""
    customer = story.simulator.world.programme.customers[client]
    story.author.lot(
        customer, client * 100 + number, f"2026-03-{day:02}T12:00:00", str(points),
        Remain=Decimal(left), **fields,
    )  # fmt: skip


def _cheque(story: Story, client: int, number: int, day: int, amount: int, **fields: Any) -> None:
    """A cheque at noon of a day of March; a refund gives back cheque 0 of the client."""
    if "Refund" in fields:
        fields = {"Parent": client * 100, **fields}
    customer = story.simulator.world.programme.customers[client]
    moment = f"2026-03-{day:02}T12:00:00"
    story.author.cheque(customer, client * 100 + number, moment, str(amount), **fields)
