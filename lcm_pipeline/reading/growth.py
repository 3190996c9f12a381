"""Reading only what came on top of a long history that is known.

Holds where the source is newest first: the total grew by as many rows as are new to us, and the
rows that we know follow each other as before. Anything else is no proof, and everything is read.
"""

from collections.abc import Generator, Sequence
from itertools import pairwise

from lcm_pipeline.model.pages import Page, PageRequest, SourceRow
from lcm_pipeline.reading.fingerprint import Known, Reading, adjusted_fingerprint, head_entry
from lcm_pipeline.reading.seams import link_offset, seam_holds

# A head grows with each reading that goes on from it; a longer one is made anew.
LONGEST_HEAD = 3_000

Growth = Generator[list[PageRequest], list[Page], Reading | None]


def read_growth(first: Page, known: Known, *, length: int, base: int) -> Growth:
    """Read down from the newest row until known rows are met; None when that proves nothing."""
    if first.total is None or not len(first.rows) < first.total or not _newest_first(first.rows):
        return None
    grown = first.total - known.total
    if not 0 < len(known.head) <= LONGEST_HEAD or grown < 0:
        return None
    rows = {row.key: row for row in first.rows}
    page, at = first, 0
    while (met := _meets_known(tuple(rows.values()), known, grown)) is None:
        offset = link_offset(page.rows)
        at, tail = at + offset, page.rows[offset:]
        (page,) = yield [PageRequest(base + at, length)]
        joined = seam_holds(tail, page.rows) and len(page.rows) > len(tail)
        if not joined or page.total != first.total or page.suspicious:
            return None
        rows.update((row.key, row) for row in page.rows)
    return _delta(first.header, tuple(rows.values()), known) if met else None


def _newest_first(rows: Sequence[SourceRow]) -> bool:
    moments = [row.moment for row in rows if row.moment is not None]
    return all(later >= earlier for later, earlier in pairwise(moments))


def _meets_known(rows: Sequence[SourceRow], known: Known, grown: int) -> bool | None:
    """Whether `rows` are `grown` new ones and then the head as it was; None: read further down.

    A row that is unknown counts as new only with a known one below it: further down it may be
    older than the head. Rows of the last moment may be a part of their ties, so they only have to
    be known.
    """
    keys = {entry.key for entry in known.head}
    seen = [(at, key) for at, row in enumerate(rows) if (key := head_entry(row).key) in keys]
    deepest = seen[-1][0] if seen else -1
    added = deepest + 1 - len(seen)
    if added > grown or len(rows) > grown + len(keys) or len(seen) == len(keys):
        return False
    firm = {key for at, key in seen if rows[at].moment != rows[-1].moment}
    if added < grown or deepest + 1 < len(rows) or not firm:
        return None
    return firm == {entry.key for entry in known.head[: len(firm)]}


def _delta(header: bytes | None, rows: tuple[SourceRow, ...], known: Known) -> Reading:
    """The new and changed rows, and what is known with them."""
    before = {entry.key: entry.digest for entry in known.head}
    entries = [head_entry(row) for row in rows]
    differing = [
        (row, before.get(entry.key))
        for row, entry in zip(rows, entries, strict=True)
        if before.get(entry.key) != entry.digest
    ]
    changed = tuple(row for row, _ in differing)
    total = known.total + sum(1 for _, digest in differing if digest is None)
    replaced = [digest for _, digest in differing if digest is not None]
    after = adjusted_fingerprint(known.fingerprint, changed, replaced)
    met = {entry.key for entry in entries}
    head = [*entries, *(entry for entry in known.head if entry.key not in met)]
    state = Known(total, after, tuple(head))
    return Reading("delta" if changed else "unchanged", changed, state, header)
