"""Scans a client's rows: reads pages from the first row to the last, and joins them by their seams.

A scan is clean when every seam holds, the source claimed the same total throughout, and the end was
seen. Whether its rows are complete is decided in `proof`. The generators yield page requests
(several when they can be sent at once) and are sent the pages in the same order.
"""

from bisect import bisect_right, insort
from collections.abc import Generator, Hashable
from typing import NamedTuple

from lcm_pipeline.model.pages import Page, PageRequest, SourceRow
from lcm_pipeline.model.texts import counted
from lcm_pipeline.reading.errors import SourceChangedError, UnprovenReadingError
from lcm_pipeline.reading.seams import is_anchored, link_offset, seam_holds

ScanRequests = Generator[list[PageRequest], list[Page], "PageScan"]

# Pages that a scan may request beyond what the total requires, before it counts as endless.
_SPARE_PAGES = 50
# A heavy client has a million operations. More rows than this are a fault of the source, and would
# fill the memory.
MAX_ROWS = 2_000_000
# Without a total the length of a history is unknown, and several clients are read at once: an
# endless source is detected at about 200 MB.
_MAX_ROWS_WITHOUT_TOTAL = 250_000
# One after the other, at 20 ms each, these take half an hour for one client.
_MAX_PAGES = 100_000
# Pages requested at once. A total may be wrong, so start with a few and double the number each time
# that the last ones had rows. A first page of less than the requested length starts with one.
_FIRST_BATCH, _MAX_BATCH = 4, 64


class PageScan(NamedTuple):
    """A clean scan.

    rows: distinct rows by key, in the order received. total: what the source claimed, None when it
    never did. is_anchored: every seam had its anchor and no page was suspicious; otherwise the scan
    must be confirmed by a second that agrees.
    pages: number of pages. largest_page: rows in the largest of them.
    is_suspicious: a page had a message that may report an error.
    """

    rows: dict[Hashable, SourceRow]
    total: int | None
    envelope: bytes | None
    is_anchored: bool
    pages: int
    largest_page: int
    is_suspicious: bool


def scan_pages(
    *, length: int, base: int, first: Page | None = None, check_end: bool = False
) -> ScanRequests:
    """Read from the first row to the last.

    base: the server's number for the first row. first: the first page, when it has been read.
    check_end: request the page after a single page too, although the total says that it is all.
    Raises SourceChangedError when the pages do not join, UnprovenReadingError when they do not end.
    """
    if first is None:
        (first,) = yield [PageRequest(base, length)]
    state = _ScanState(first, check_end=check_end)
    batch_size = _FIRST_BATCH if len(first.rows) >= length else 1
    try:
        while not state.is_finished:
            wanted = state.advance()
            if wanted is not None:
                ahead = state.starts_ahead(wanted)[:batch_size]
                pages = yield [PageRequest(base + at, length) for at in ahead]
                state.add(dict(zip(ahead, pages, strict=True)))
                batch_size = min(2 * batch_size, _MAX_BATCH)
        return state.scan()
    except SourceChangedError as moved:
        moved.seen, moved.total = state.seen(), first.total
        raise


class _ScanState:
    """The state of one scan: the received pages by index, and how far they are joined."""

    def __init__(self, first: Page, *, check_end: bool) -> None:
        self.pages: dict[int, Page] = {0: first}
        self._starts = [0]
        self.is_finished = False
        self._check_end = check_end
        self._first = first
        self._at = 0
        self._rows = {row.key: row for row in first.rows}
        self._is_anchored = True
        self._detect_end()

    def add(self, pages: dict[int, Page]) -> None:
        """Add pages by the index of their first row."""
        self.pages.update(pages)
        for at in pages:
            insort(self._starts, at)

    def starts_ahead(self, wanted: int) -> range:
        """The indexes of pages that can be requested at once, the wanted one first.

        They are predicted from the size of the first page. When a page further down has already
        been received, only the wanted one is requested, to join it.
        """
        size, total = len(self._first.rows), self._first.total
        if total is None or size < 3 or total <= wanted or self._starts[-1] > wanted:
            return range(wanted, wanted + 1)
        return range(wanted, total, max(1, min(link_offset(self._first.rows), size - 2)))

    def advance(self) -> int | None:
        """Join the next page, or return the index of the page that is needed for that."""
        page = self.pages[self._at]
        end = self._at + len(page.rows)
        link = self._at + link_offset(page.rows)
        following = self._starts[bisect_right(self._starts, link) - 1]
        if self._at < following < link:
            # A page requested ahead, which begins before the link, may be joined as well.
            tail = page.rows[following - self._at :]
            can_join = self._end_of(following) > end and seam_holds(
                tail, self.pages[following].rows
            )
        else:
            can_join = following > self._at
        if not can_join:
            self._check_limits()
            return link
        self._join(page, following)
        return None

    def seen(self) -> tuple[Hashable, ...]:
        """The keys of all received rows."""
        return tuple({row.key for page in self.pages.values() for row in page.rows})

    def scan(self) -> PageScan:
        """Return the finished scan; raises SourceChangedError when the pages' totals differ."""
        totals = {page.total for page in self.pages.values() if page.total is not None}
        if len(totals) > 1:
            raise SourceChangedError("the total changed while the pages were read")
        suspicious = any(page.is_suspicious for page in self.pages.values())
        anchored = self._is_anchored and not suspicious
        sizes = [len(page.rows) for page in self.pages.values()]
        total = totals.pop() if totals else None
        return PageScan(
            self._rows, total, self._first.envelope, anchored, len(sizes), max(sizes), suspicious
        )

    def _join(self, page: Page, following: int) -> None:
        offset = following - self._at
        fresh = self.pages[following]
        if not seam_holds(page.rows[offset:], fresh.rows):
            self._end_at_ties(page, fresh, offset)
            return
        if self._end_of(following) <= self._at + len(page.rows):
            self.is_finished = True
            return
        if all(row.key in self._rows for row in fresh.rows):
            raise SourceChangedError("a page has only rows of earlier pages")
        self._is_anchored = self._is_anchored and is_anchored(page.rows, offset)
        self._rows.update((row.key, row) for row in fresh.rows)
        self._at = following
        self._detect_end()

    def _end_at_ties(self, page: Page, fresh: Page, offset: int) -> None:
        """Accept reordered ties as the end, to be confirmed by a second scan; raise otherwise."""
        tail = page.rows[offset:]
        moments = {row.moment for row in (*tail, *fresh.rows)}
        seen = all(row.key in self._rows for row in fresh.rows)
        if not (seen and len(moments) == 1 and len(fresh.rows) == len(tail)):
            raise SourceChangedError("the rows shifted between two pages")
        self._is_anchored, self.is_finished = False, True

    def _detect_end(self) -> None:
        """Set `is_finished` when the total is reached on a page that is not a full one.

        More rows may follow a full page, whatever the total says.
        """
        size, total = len(self.pages[self._at].rows), self._first.total
        if size == 0:
            self.is_finished = True
        elif total is not None and self._at + size >= total:
            single = self._at == 0
            shorter = size < max(len(page.rows) for page in self.pages.values())
            self.is_finished = not self._check_end if single else shorter

    def _end_of(self, at: int) -> int:
        return at + len(self.pages[at].rows)

    def _check_limits(self) -> None:
        """Raise when the source does not end."""
        total, pages, rows = self._first.total, len(self.pages), len(self._rows)
        if rows >= (_MAX_ROWS_WITHOUT_TOTAL if total is None else MAX_ROWS) or pages >= _MAX_PAGES:
            claimed = "without a total" if total is None else f"and the source claims {total:,}"
            raise UnprovenReadingError(
                f"the rows do not end: got {rows:,} in {counted(pages, 'page')}, {claimed}"
            )
        if total is not None:
            expected = total // max(1, len(self._first.rows) - 2)
            if pages > 3 * expected + _SPARE_PAGES:
                raise SourceChangedError("there are more pages than the total requires")
