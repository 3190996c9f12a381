"""Which rows one request gets: order, position, length and the total that is claimed.

The honest way is newest first, `Start` counted from 1 with 0 read as 1, `Length` rows. Every
quirk of paging is here and nowhere else.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from lcm_pipeline.simulator.customers import Entry
from lcm_pipeline.simulator.fields import Row
from lcm_pipeline.simulator.quirks import Quirks


class Slice(NamedTuple):
    """The rows of one answer, with the total as claimed and the count of these rows."""

    entries: Sequence[Entry]
    total: int | None
    selected: int | None

    @property
    def rows(self) -> list[Row]:
        return [entry.row for entry in self.entries]


def ordered(entries: Sequence[Entry], quirks: Quirks, chance: Random) -> Sequence[Entry]:
    """Put newest-first entries into the order that this request sees."""
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
    """Take one page out of all the entries that a request's filters leave."""
    base = 0 if quirks.zero_based else 1
    first = 0 if quirks.ignore_start else max(start or base, base) - base
    size = length if length is not None and length > 0 else quirks.default_length
    if quirks.max_length is not None:
        size = min(size, quirks.max_length)
    last = first + size + (1 if quirks.one_row_too_many else 0)
    page = ordered(entries, quirks, chance)[first:last]
    honest = len(page) if quirks.totals == "page" else len(entries)
    if quirks.totals == "null":
        return Slice(page, None, None)
    claimed = max(0, honest + quirks.totals) if isinstance(quirks.totals, int) else honest
    return Slice(page, claimed, len(page))
