"""Lots and cheques of 2026 by client and number, and what took the points of a client's lots."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from lcm_pipeline.simulator.customers import Entry
from tests.marts.comparing import read_mart
from tests.marts.stories import Story

# Day, kind, the last three digits of the lot (its number; 0 without one), points.
Movement = tuple[date, str, int, Decimal]


def add_lot(
    story: Story, client: int, number: int, moment: str, points: int | Decimal, **fields: Any
) -> Entry:
    """A lot; its id is 1000 times the client, and its number."""
    customer = story.simulator.world.programme.customers[client]
    return story.author.lot(customer, client * 1000 + number, moment, str(points), **fields)


def add_cheque(
    story: Story, client: int, number: int, day: int, amount: int, *, month: int = 3, **fields: Any
) -> None:
    """A cheque at noon of a day of 2026; its id is 100 times the client, and its number.

    A refund is of cheque 0 of the client, unless the fields name another one.
    """
    if "Refund" in fields:
        fields = {"Parent": client * 100, **fields}
    customer = story.simulator.world.programme.customers[client]
    moment = f"2026-{month:02}-{day:02}T12:00:00"
    story.author.cheque(customer, client * 100 + number, moment, str(amount), **fields)


def taken(story: Story, client: int) -> list[Movement]:
    """The movements of a client, but for the points given."""
    return sorted(
        (row["movement_date"], row["kind"], (row["lot_id"] or 0) % 1000, row["points"])
        for row in read_mart(story.warehouse, "points_movements")
        if row["client_id"] == client and row["kind"] != "added"
    )


def summed(movements: Iterable[Movement]) -> dict[tuple[date, str, int], Decimal]:
    """The points by day, kind and lot."""
    found: dict[tuple[date, str, int], Decimal] = {}
    for day, kind, lot, points in movements:
        found[day, kind, lot] = found.get((day, kind, lot), Decimal(0)) + points
    return found
