"""One scan over a client's rows: pages that cover them from the first to the last, joined by seams.

A scan is clean when every seam holds, the source claimed one total throughout, and the end was
seen. It says nothing yet of whether the rows are all of them: `reading` decides that.
Generators here yield the requests they want (several where they can be asked at once) and are
sent the pages, in the same order: no socket, no clock, no waiting.
"""

from bisect import bisect_right, insort
from collections.abc import Generator, Hashable
from typing import NamedTuple

from lcm_pipeline.model.pages import Page, PageRequest, SourceRow
from lcm_pipeline.reading.errors import SourceChangedError, UnprovenReadingError
from lcm_pipeline.reading.seams import is_anchored, link_offset, seam_holds

ScanRequests = Generator[list[PageRequest], list[Page], "PageScan"]

# Pages of a scan that may be asked beyond what the total calls for, before it counts as endless.
_SPARE_PAGES = 50
# A heavy client has a million operations. More rows than this are no client: they fill the memory.
MOST_ROWS = 2_000_000
# Without a total nothing tells how long a history is, and several may be read at once: a source
# without an end is noticed here, at some 200 MB.
_MOST_ROWS_UNTOLD = 250_000
# Pages one after the other, at 20 ms each: half an hour for one client.
_MOST_PAGES = 100_000
# Pages asked at once: twice as many each time that the last ones brought rows, as a total may lie.
# The first page vouches for the first few where it was as long as asked for.
_FIRST_AHEAD, _MOST_AHEAD = 4, 64


class PageScan(NamedTuple):
    """A clean scan.

    rows: distinct rows in the order seen. total: what the source claimed, None when it never did.
    anchored: every seam saw its anchor and no page was suspicious; a scan that is not must be
    confirmed by a second that agrees.
    pages: pages it took. largest_page: rows in the largest of them.
    """

    rows: dict[Hashable, SourceRow]
    total: int | None
    header: bytes | None
    anchored: bool
    pages: int
    largest_page: int


def scan_pages(
    *, length: int, base: int, first: Page | None = None, check_end: bool = False
) -> ScanRequests:
    """Read from the first row to the last; raises SourceChangedError when the pages do not join.

    base: the server's number for the first row. first: the first page, when it is at hand.
    check_end: ask beyond a single page too, though the total says that it holds everything.
    """
    if first is None:
        (first,) = yield [PageRequest(base, length)]
    state = _ScanState(first, check_end=check_end)
    at_once = _FIRST_AHEAD if len(first.rows) >= length else 1
    try:
        while not state.finished:
            wanted = state.advance()
            if wanted is not None:
                ahead = state.starts_ahead(wanted)[:at_once]
                pages = yield [PageRequest(base + at, length) for at in ahead]
                state.take(dict(zip(ahead, pages, strict=True)))
                at_once = min(2 * at_once, _MOST_AHEAD)
        return state.scan()
    except SourceChangedError as moved:
        moved.seen, moved.total = state.seen(), first.total
        raise


class _ScanState:
    """The state of one scan: the pages at hand by index, and how far they are joined."""

    def __init__(self, first: Page, *, check_end: bool) -> None:
        self.pages: dict[int, Page] = {0: first}
        self._starts = [0]
        self.finished = False
        self._check_end = check_end
        self._first = first
        self._at = 0
        self._rows = {row.key: row for row in first.rows}
        self._anchored = True
        self._settle()

    def take(self, pages: dict[int, Page]) -> None:
        """Keep pages by the index at which they begin."""
        self.pages.update(pages)
        for at in pages:
            insort(self._starts, at)

    def starts_ahead(self, wanted: int) -> range:
        """Where the pages that can be asked at once begin, the wanted one first.

        Known from the first page's size. Where a page further down is at hand already, the wanted
        one only has to join it.
        """
        size, total = len(self._first.rows), self._first.total
        if total is None or size < 3 or total <= wanted or self._starts[-1] > wanted:
            return range(wanted, wanted + 1)
        return range(wanted, total, max(1, min(link_offset(self._first.rows), size - 2)))

    def advance(self) -> int | None:
        """Join the next page, or return the index at which a page is needed for that."""
        page = self.pages[self._at]
        end = self._at + len(page.rows)
        link = self._at + link_offset(page.rows)
        following = self._starts[bisect_right(self._starts, link) - 1]
        if following <= self._at or (following < link and not self._joins(page, following, end)):
            self._guard()
            return link
        self._join(page, following)
        return None

    def _joins(self, page: Page, following: int, end: int) -> bool:
        """Whether a page that was asked ahead, and begins above the link, serves as well."""
        tail = page.rows[following - self._at :]
        return self._reach(following) > end and seam_holds(tail, self.pages[following].rows)

    def seen(self) -> tuple[Hashable, ...]:
        """The keys of all pages at hand."""
        return tuple({row.key for page in self.pages.values() for row in page.rows})

    def scan(self) -> PageScan:
        """The finished scan; raises SourceChangedError when the totals of its pages differ."""
        totals = {page.total for page in self.pages.values() if page.total is not None}
        if len(totals) > 1:
            raise SourceChangedError("the total changed while the pages were read")
        anchored = self._anchored and not any(page.suspicious for page in self.pages.values())
        sizes = [len(page.rows) for page in self.pages.values()]
        total = totals.pop() if totals else None
        return PageScan(self._rows, total, self._first.header, anchored, len(sizes), max(sizes))

    def _join(self, page: Page, following: int) -> None:
        offset = following - self._at
        fresh = self.pages[following]
        if not seam_holds(page.rows[offset:], fresh.rows):
            self._end_in_ties(page, fresh, offset)
            return
        if self._reach(following) <= self._at + len(page.rows):
            self.finished = True
            return
        if all(row.key in self._rows for row in fresh.rows):
            raise SourceChangedError("a page brought nothing but rows that were seen")
        self._anchored = self._anchored and is_anchored(page.rows, offset)
        self._rows.update((row.key, row) for row in fresh.rows)
        self._at = following
        self._settle()

    def _end_in_ties(self, page: Page, fresh: Page, offset: int) -> None:
        """Take swapped ties without an anchor for the end, to be confirmed; else it moved."""
        tail = page.rows[offset:]
        moments = {row.moment for row in (*tail, *fresh.rows)}
        seen = all(row.key in self._rows for row in fresh.rows)
        if not (seen and len(moments) == 1 and len(fresh.rows) == len(tail)):
            raise SourceChangedError("the rows shifted between two pages")
        self._anchored, self.finished = False, True

    def _settle(self) -> None:
        """Notice that the end was seen: the total is reached, on a page that is not a full one."""
        size, total = len(self.pages[self._at].rows), self._first.total
        if size == 0:
            self.finished = True
        elif total is not None and self._at + size >= total:
            single = self._at == 0
            shorter = size < max(len(page.rows) for page in self.pages.values())
            self.finished = not self._check_end if single else shorter

    def _reach(self, at: int) -> int:
        return at + len(self.pages[at].rows)

    def _guard(self) -> None:
        """Raise where the source goes on and on."""
        total, pages, rows = self._first.total, len(self.pages), len(self._rows)
        if rows >= (_MOST_ROWS_UNTOLD if total is None else MOST_ROWS) or pages >= _MOST_PAGES:
            claimed = "without a total" if total is None else f"and the source claims {total:,}"
            raise UnprovenReadingError(
                f"the rows do not end: {rows:,} came in {pages:,} pages, {claimed}"
            )
        if total is not None:
            expected = total // max(1, len(self._first.rows) - 2)
            if pages > 3 * expected + _SPARE_PAGES:
                raise SourceChangedError("more pages came than the total calls for")
