"""Shows that two overlapping pages join without a gap.

The service orders by time without a tiebreaker, so rows of equal moment may swap between two
requests, and rows may be added or removed in between. The next page therefore begins at the *link*:
the row before the last group of equal moments (the anchor). It then contains the whole group in one
response, in whatever order, and the anchor in its place shows that nothing shifted.
"""

from collections.abc import Sequence

from lcm_pipeline.model.pages import SourceRow


def link_offset(rows: Sequence[SourceRow]) -> int:
    """Return the index in `rows` where the next page should begin: the anchor, if possible.

    It is at least 1, so that the next page begins further down. It is len(rows) only for a page of
    one row, which cannot overlap.
    """
    if len(rows) < 2:
        return len(rows)
    anchor = _anchor(rows)
    return anchor if anchor >= 1 else len(rows) - 1


def is_anchored(rows: Sequence[SourceRow], offset: int) -> bool:
    """Whether a page from `offset` on has the anchor, which makes reordered ties harmless."""
    return 1 <= offset <= _anchor(rows)


def seam_holds(tail: Sequence[SourceRow], following: Sequence[SourceRow]) -> bool:
    """Whether `following` shows that no row was shifted or lost since the page before it.

    It begins with the same rows, or they differ only in the order of ties, with the anchor in its
    place. tail: the end of the page before, from the position where `following` begins.
    """
    if len(following) < len(tail):
        return False
    if all(old.key == new.key for old, new in zip(tail, following, strict=False)):
        return True
    moment = tail[-1].moment
    anchor = _anchor(tail)
    if moment is None or anchor < 0:
        return False
    is_anchor_in_place = (
        following[anchor].moment == tail[anchor].moment and following[anchor + 1].moment == moment
    )
    group = {row.key for row in following[anchor + 1 :] if row.moment == moment}
    return is_anchor_in_place and all(row.key in group for row in tail[anchor + 1 :])


def _anchor(rows: Sequence[SourceRow]) -> int:
    """The index of the last row with another moment than the last row; -1 when there is none."""
    moment = rows[-1].moment
    if moment is None:
        return len(rows) - 2
    return next((at for at in range(len(rows) - 1, -1, -1) if rows[at].moment != moment), -1)
