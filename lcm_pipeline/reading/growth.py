"""Reads only the new rows of a long history whose earlier rows are known.

This works when the source sends the newest rows first. It is a proof when the total grew by as many
rows as are new to us and the known rows follow in the same order as before. Otherwise everything is
read.
"""

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Literal

from lcm_pipeline.model.pages import Page, PageRequest, SourceRow
from lcm_pipeline.reading.fingerprint import ProvenState, Reading, adjusted_fingerprint, recent_row
from lcm_pipeline.reading.seams import link_offset, seam_holds

# The stored rows grow with each delta. When there are more of them, a full reading begins anew.
MAX_RECENT_ROWS = 3_000

GrowthRequests = Generator[list[PageRequest], list[Page], Reading | None]


def read_growth(first: Page, known: ProvenState, *, length: int, base: int) -> GrowthRequests:
    """Read from the newest row down to the known rows; returns None when that proves nothing."""
    if first.total is None or len(first.rows) >= first.total:
        return None  # no total to compare with, or every row is on this page
    grown = first.total - known.total
    if grown < 0 or not known.recent_rows or len(known.recent_rows) > MAX_RECENT_ROWS:
        return None
    moments = [row.moment for row in first.rows if row.moment is not None]
    if any(later < earlier for later, earlier in pairwise(moments)):
        return None  # not the newest rows first
    rows = {row.key: row for row in first.rows}
    page, at = first, 0
    while True:
        received = tuple(rows.values())
        match _compare(received, known, grown):
            case "continues":
                return _delta_reading(first.envelope, received, known)
            case "differs":
                return None
        # Undecided: read further down.
        offset = link_offset(page.rows)
        at, tail = at + offset, page.rows[offset:]
        (page,) = yield [PageRequest(base + at, length)]
        joined = seam_holds(tail, page.rows) and len(page.rows) > len(tail)
        if not joined or page.total != first.total or page.is_suspicious:
            return None
        rows.update((row.key, row) for row in page.rows)


def _compare(
    rows: Sequence[SourceRow], known: ProvenState, grown: int
) -> Literal["continues", "differs", "undecided"]:
    """Whether the rows are `grown` new ones, continued by the newest known ones.

    An unknown row counts as new only when a known one follows it: below the last known row it may
    be older than the recent ones. Of the rows of the last moment some ties may be on the next
    page, so their order is not compared.
    """
    keys = {recent.key for recent in known.recent_rows}
    seen = [(at, key) for at, row in enumerate(rows) if (key := recent_row(row).key) in keys]
    deepest = seen[-1][0] if seen else -1
    added = deepest + 1 - len(seen)
    if added > grown or len(rows) > grown + len(keys) or len(seen) == len(keys):
        return "differs"
    comparable = {key for at, key in seen if rows[at].moment != rows[-1].moment}
    if added < grown or deepest + 1 < len(rows) or not comparable:
        return "undecided"
    newest_known = {recent.key for recent in known.recent_rows[: len(comparable)]}
    return "continues" if comparable == newest_known else "differs"


def _delta_reading(
    envelope: bytes | None, rows: tuple[SourceRow, ...], known: ProvenState
) -> Reading:
    """Return the new and changed rows, and the state that includes them."""
    before = {recent.key: recent.digest for recent in known.recent_rows}
    received = [recent_row(row) for row in rows]
    differing = [
        (row, before.get(recent.key))
        for row, recent in zip(rows, received, strict=True)
        if before.get(recent.key) != recent.digest
    ]
    changed = tuple(row for row, _ in differing)
    total = known.total + sum(1 for _, digest in differing if digest is None)
    replaced = [digest for _, digest in differing if digest is not None]
    after = adjusted_fingerprint(known.fingerprint, changed, replaced)
    matched = {recent.key for recent in received}
    older = (recent for recent in known.recent_rows if recent.key not in matched)
    state = ProvenState(total, after, (*received, *older))
    return Reading("delta" if changed else "unchanged", changed, state, envelope)
