"""Selects the rows of one response: order, position, length and the claimed total.

Without quirks, rows are newest first, `Start` counts from 1 (0 means 1), and there are up to
`Length` of them. All quirks of paging are in this module.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from lcm_pipeline.simulator.customers import Entry
from lcm_pipeline.simulator.fields import Row
from lcm_pipeline.simulator.quirks import Quirks


class Slice(NamedTuple):
    """The rows of one response, with the total that it claims and the count of these rows."""

    entries: Sequence[Entry]
    total: int | None
    selected: int | None

    @property
    def rows(self) -> list[Row]:
        return [entry.row for entry in self.entries]


def ordered(entries: Sequence[Entry], quirks: Quirks, chance: Random) -> Sequence[Entry]:
    """Sort newest-first entries into the order of this response."""
    if quirks.tie_order == "shuffled":
        entries = sorted(entries, key=lambda entry: (-entry.moment, chance.random()))
    return entries[::-1] if quirks.oldest_first else entries


def cut(
    entries: Sequence[Entry],
    *,
    start: int | None,
    length: int | None,
    quirks: Quirks,
    chance: Random,
) -> Slice:
    """Cut one page out of the entries that match the filters of a request."""
    base = 0 if quirks.zero_based else 1
    first = 0 if quirks.ignore_start else max(start or base, base) - base
    size = length if length is not None and length > 0 else quirks.default_length
    if quirks.max_length is not None:
        size = min(size, quirks.max_length)
    # A service that counts the length inclusively returns one row too many.
    last = first + size + (1 if quirks.one_row_too_many else 0)
    page = ordered(entries, quirks, chance)[first:last]
    honest = len(page) if quirks.totals == "page" else len(entries)
    if quirks.totals == "null":
        return Slice(page, None, None)
    claimed = max(0, honest + quirks.totals) if isinstance(quirks.totals, int) else honest
    return Slice(page, claimed, len(page))
