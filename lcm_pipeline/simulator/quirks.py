"""What the programme is like (Habits) and how its server answers (Quirks).

Habits shape the world and are fixed at its start; quirks shape answers only, leave the truth
alone, and may be changed while the server runs.
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec


class Habits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of 1: of clients, of visits, or (`…_daily`) of all clients on each day."""

    two_cards: float = 0.12
    late: float = 0.04
    late_registrations: float = 0.02
    cancelled: float = 0.02
    refunded: float = 0.06
    tied: float = 0.15
    nulls: float = 0.04
    bad_rows: float = 0.0
    visits_daily: float = 0.06
    promotions_daily: float = 0.02
    leads_daily: float = 0.04
    offers_daily: float = 0.03
    merged_daily: float = 0.001
    card_changes_daily: float = 0.004
    heavy_operations: int = 0


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How answers deviate.

    `totals` is honest, null, page (the rows of this answer), or a number to lie by such as -2.
    """

    max_length: int | None = None
    default_length: int = 10
    tie_order: Literal["stable", "shuffled"] = "stable"
    one_row_too_many: bool = False
    zero_based: bool = False
    oldest_first: bool = False
    ignore_start: bool = False
    totals: Literal["honest", "null", "page"] | int = "honest"
    end_date: Literal["inclusive", "exclusive", "whole_day"] = "inclusive"
    informational_message: bool = False
    list_favourites_always: bool = False
    latency_ms: float = 0
    offset_dates: Literal["none", "moscow", "utc"] = "none"
    extra_fields: bool = False


Chosen = TypeVar("Chosen", Habits, Quirks)


def changed(current: Chosen, changes: dict[str, Any]) -> Chosen:
    """The same with some values replaced; msgspec.ValidationError when one does not fit."""
    merged = msgspec.structs.asdict(current) | changes
    return msgspec.convert(merged, type(current), strict=False)


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """Read `name=value` arguments; ValueError when there is no equals sign."""
    chosen: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"expected name=value, not {pair!r}")
        chosen[name.strip()] = value.strip()
    return chosen
