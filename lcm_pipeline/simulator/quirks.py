"""What the programme is like (Habits) and how its server responds (Quirks).

Habits shape the world and are fixed at its start; quirks shape responses only, leave the truth
alone, and may be changed while the server runs.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Conventions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a programme keeps its points; shares of 1 of visits, refunds, burns or lots.

    A share of 0 draws nothing, so that worlds without the convention stay as they are.
    """

    spending: Literal["oldest_first", "soonest_first", "newest_first"] = "oldest_first"
    cheque_points: Share = 0.0
    bonus_redemptions: Share = 0.0
    friend_bonuses: Share = 0.0
    refund_points: Literal["silent", "negative", "positive"] = "silent"
    refund_gives_back: bool = False
    partial_refunds: Share = 0.0
    refunds_without_parent: Share = 0.0
    refunds_without_flag: Share = 0.0
    burns: Literal["sometimes", "never", "added", "positive_added", "redeemed"] = "sometimes"
    blocked: Share = 0.0


class Habits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of 1: of clients, of visits, or (`…_daily`) of all clients on each day."""

    two_cards: Share = 0.12
    late: Share = 0.04
    late_registrations: Share = 0.02
    cancelled: Share = 0.02
    refunded: Share = 0.06
    tied: Share = 0.15
    nulls: Share = 0.04
    bad_rows: Share = 0.0
    visits_daily: Share = 0.06
    promotions_daily: Share = 0.02
    leads_daily: Share = 0.04
    offers_daily: Share = 0.03
    merged_daily: Share = 0.001
    card_changes_daily: Share = 0.004
    heavy_operations: Annotated[int, Meta(ge=0)] = 0
    conventions: Conventions = Conventions()


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How responses deviate.

    `totals` is honest, null, page (the rows of this response), or a number to lie by such as -2.
    """

    max_length: Annotated[Positive | None, Meta(description="rows on a page at most")] = None
    default_length: Annotated[
        Positive, Meta(description="rows on a page when the request has no Length")
    ] = 10
    tie_order: Annotated[
        Literal["stable", "shuffled"],
        Meta(description="order of rows with equal times, stable or shuffled"),
    ] = "stable"
    one_row_too_many: Annotated[bool, Meta(description="one row more than requested")] = False
    zero_based: Annotated[bool, Meta(description="Start counts from 0, not from 1")] = False
    oldest_first: Annotated[bool, Meta(description="the oldest row comes first")] = False
    ignore_start: Annotated[bool, Meta(description="every page is the first one")] = False
    totals: Annotated[
        Literal["honest", "null", "page"] | int,
        Meta(description="honest, null, page (rows of this response) or off by N"),
    ] = "honest"
    end_date: Annotated[
        Literal["inclusive", "exclusive", "whole_day"],
        Meta(description="EndDate is inclusive, exclusive or whole_day"),
    ] = "inclusive"
    informational_message: Annotated[
        bool, Meta(description="good responses have a Message too")
    ] = False
    list_favourites_always: Annotated[
        bool, Meta(description="goods without a request for them")
    ] = False
    latency_ms: Annotated[
        float, Meta(ge=0, le=3_600_000, description="milliseconds before each response")
    ] = 0
    offset_dates: Annotated[
        Literal["none", "moscow", "utc"],
        Meta(description="dates end with an offset: none, moscow or utc"),
    ] = "none"
    extra_fields: Annotated[
        bool, Meta(description="rows have fields that the vendor does not document")
    ] = False


def described_quirks() -> dict[str, str]:
    """What each quirk does, and its default, by its name."""
    # As NAME=VALUE takes them.
    defaults = {
        name: "null" if default is None else str(default).lower()
        for name, default in msgspec.structs.asdict(Quirks()).items()
    }
    hints = get_type_hints(Quirks, include_extras=True)
    return {
        name: f"{hints[name].__metadata__[0].description} ({default})"
        for name, default in defaults.items()
    }


Chosen = TypeVar("Chosen", Conventions, Habits, Quirks)


def changed(current: Chosen, changes: dict[str, Any]) -> Chosen:
    """The same with some values replaced; msgspec.ValidationError when one does not fit.

    `conventions.spending` names a value of a group.
    """
    merged = msgspec.structs.asdict(current)
    for name, value in changes.items():
        group, dot, member = name.partition(".")
        if group not in merged:
            raise msgspec.ValidationError(f"no such name: {group}; known: {', '.join(merged)}")
        merged[group] = changed(merged[group], {member: value}) if dot else value
    return msgspec.convert(
        {n: msgspec.to_builtins(v) for n, v in merged.items()}, type(current), strict=False
    )


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """Read `name=value` arguments; ValueError when there is no equals sign."""
    chosen: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"expected name=value, not {pair!r}")
        chosen[name.strip()] = value.strip()
    return chosen
