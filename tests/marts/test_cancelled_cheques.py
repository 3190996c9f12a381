"""Points of a cheque that vanished, redeemed again before the reading that no longer had it."""

from datetime import date
from decimal import Decimal

from lcm_pipeline.simulator.customers import Customer, Entry
from lcm_pipeline.warehouse.connection import Warehouse
from tests.marts.comparing import read_mart
from tests.marts.stories import Story

FIRST, SECOND, THIRD = date(2026, 3, 5), date(2026, 3, 8), date(2026, 3, 10)


def redeem(story: Story, *, given: str, redeemed: str) -> tuple[Customer, Entry, Entry]:
    """A client, a lot, and a cheque that redeems some of it, as the reading of FIRST sees them."""
    client = story.author.client(7, "2026-03-01T01:00:00", [{"Card": 1}])
    lot = story.author.lot(
        client, 1, "2026-03-02T10:00:00", given, ends="2026-06-01T00:00:00",
        Remain=Decimal(given) - Decimal(redeemed),
    )  # fmt: skip
    cheque = story.author.cheque(
        client, 501, "2026-03-04T10:00:00", "80.00", Redeemed=Decimal(redeemed)
    )
    story.sync_day(FIRST)
    return client, lot, cheque


def month_of(warehouse: Warehouse) -> list[Decimal]:
    """Added, redeemed, expired, corrected, unexplained and owed at the end, of the only month."""
    (month,) = read_mart(warehouse, "points_bridge_monthly")
    names = ("added", "redeemed", "expired", "corrections", "residual", "closing")
    return [month[name] for name in names]


def owed_by_day(warehouse: Warehouse) -> dict[date, Decimal]:
    return {row["day"]: row["as_known_now"] for row in read_mart(warehouse, "points_owed")}


def test_points_that_a_cancelled_cheque_gave_back_are_redeemed_again(story: Story) -> None:
    client, lot, cancelled = redeem(story, given="100.00", redeemed="40.00")
    client.operations.remove(cancelled)
    story.author.cheque(client, 502, "2026-03-07T10:00:00", "80.00", Redeemed=Decimal("70.00"))
    lot.row["Remain"] = Decimal("30.00")
    story.sync_day(SECOND)
    assert month_of(story.warehouse) == [100, 70, 0, 0, 0, 30]
    owed = owed_by_day(story.warehouse)
    assert [owed[day] for day in (FIRST, date(2026, 3, 6), SECOND)] == [100, 100, 30]


def test_points_that_another_cheque_took_before_one_was_cancelled(story: Story) -> None:
    client, lot, cancelled = redeem(story, given="50.00", redeemed="25.00")
    story.author.cheque(client, 502, "2026-03-06T10:00:00", "80.00", Redeemed=Decimal("8.33"))
    lot.row["Remain"] = Decimal("16.67")
    story.sync_day(SECOND)
    client.operations.remove(cancelled)
    lot.row["Remain"] = Decimal("41.67")
    story.sync_day(THIRD)
    assert month_of(story.warehouse) == [50, Decimal("8.33"), 0, 0, 0, Decimal("41.67")]


def test_points_of_a_cancelled_cheque_that_did_not_come_back_are_corrected(story: Story) -> None:
    client, lot, cancelled = redeem(story, given="100.00", redeemed="40.00")
    client.operations.remove(cancelled)
    story.author.cheque(client, 502, "2026-03-07T10:00:00", "80.00", Redeemed=Decimal("10.00"))
    lot.row["Remain"] = Decimal("50.00")
    story.sync_day(SECOND)
    assert month_of(story.warehouse) == [100, 10, 0, -40, 0, 50]
