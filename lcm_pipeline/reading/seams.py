"""How two pages that overlap are shown to join without a gap.

The service orders by time with no tiebreak, so rows of equal moment may swap between two
requests, and rows may come or go in between. A page is therefore continued from its *link*: the
row before the last group of equal moments (the anchor). The next page then holds the whole group
in one answer, whatever its order, and the anchor in its place shows that nothing shifted.
"""

from collections.abc import Sequence

from lcm_pipeline.model.pages import SourceRow


def link_offset(rows: Sequence[SourceRow]) -> int:
    """Where in `rows` the next page should begin: at the anchor, or as near as progress allows.

    Always at least 1, so that the next page begins further down; equal to len(rows) only for a
    page of one row, which cannot overlap.
    """
    if len(rows) < 2:
        return len(rows)
    anchor = _anchor(rows)
    return anchor if anchor >= 1 else len(rows) - 1


def is_anchored(rows: Sequence[SourceRow], offset: int) -> bool:
    """Whether a continuation from `offset` sees the anchor, and so settles swapped ties."""
    return 1 <= offset <= _anchor(rows)


def seam_holds(tail: Sequence[SourceRow], following: Sequence[SourceRow]) -> bool:
    """Whether `following`, asked from where `tail` begins, shows that nothing shifted or was lost.

    tail: the end of the page before, from the position at which `following` was asked.
    """
    if len(following) < len(tail):
        return False
    if all(old.key == new.key for old, new in zip(tail, following, strict=False)):
        return True
    return _ties_swapped(tail, following)


def _ties_swapped(tail: Sequence[SourceRow], following: Sequence[SourceRow]) -> bool:
    """Whether the two differ only in the order of rows of equal moment behind a steady anchor."""
    moment = tail[-1].moment
    anchor = _anchor(tail)
    if moment is None or anchor < 0:
        return False
    steady = (
        following[anchor].moment == tail[anchor].moment and following[anchor + 1].moment == moment
    )
    group = {row.key for row in following[anchor + 1 :] if row.moment == moment}
    return steady and all(row.key in group for row in tail[anchor + 1 :])


def _anchor(rows: Sequence[SourceRow]) -> int:
    """The index of the last row that is not of the last row's moment; -1 where there is none."""
    moment = rows[-1].moment
    if moment is None:
        return len(rows) - 2
    return next((at for at in range(len(rows) - 1, -1, -1) if rows[at].moment != moment), -1)
