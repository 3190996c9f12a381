"""Reading one client, proved and not trusted: a result is exact, or it is not a result.

A reading is *proven* when a clean scan (see `scan`) has as many distinct keys as the source
claims rows. What a scan cannot settle by itself (no total, a page without an anchor, a suspicious
answer) is settled by a second scan that agrees. Whatever moves under a scan costs a new scan,
a few times; then the reading is unproven, and the caller leaves the client pending.

Generators without I/O: they yield lists of `PageRequest`, and the caller sends the `Page`s.
"""

from collections.abc import Generator, Hashable, Iterable
from dataclasses import dataclass

from lcm_pipeline.model.pages import Page, PageRequest
from lcm_pipeline.reading.errors import SourceChangedError, UnprovenReadingError
from lcm_pipeline.reading.fingerprint import (
    HeadEntry,
    Known,
    Reading,
    fingerprint,
    head_entry,
    whole_groups,
)
from lcm_pipeline.reading.growth import read_growth
from lcm_pipeline.reading.scan import MOST_ROWS, PageScan, scan_pages

MAX_SCANS = 6

Requests = Generator[list[PageRequest], list[Page], Reading]


@dataclass
class PagingHabits:
    """What was learned of how an endpoint pages, shared by all readings of it.

    base: the server's number for the first row, 1 as documented, 0 as seen.
    is_base_proven: a reading has shown that no row lies before the base.
    trusted_page: pages of up to this many rows were seen to end where the total says; -1: none yet.
    largest_of_many: rows in the largest page of a history of several pages, which may be a cap.
    """

    base: int = 1
    is_base_proven: bool = False
    trusted_page: int = -1
    largest_of_many: int | None = None


def prove_reading(
    *,
    length: int,
    habits: PagingHabits,
    known: Known | None = None,
    whole: bool = False,
    keep_head: bool = False,
    trusting: bool = False,
) -> Requests:
    """Read one client's rows of one endpoint; raises Unproven.

    length: rows to ask for per page. known: the last proven state, None at the first reading.
    whole: read every page though the first seems unchanged. keep_head: the rows have details, so
    remember the head of short histories too, and let `whole` bring all rows.
    trusting: believe a total that one page satisfies, whatever the page's size; the caller checks
    the largest such page by a reading that is not trusting.
    """
    (first,) = yield [PageRequest(habits.base, length)]
    if (first.total or 0) > MOST_ROWS:
        raise UnprovenReadingError(
            f"the source claims {first.total:,} rows; at most {MOST_ROWS:,} are read of a client"
        )
    if known is not None and not first.suspicious:
        shortcut = None if whole and keep_head else _unchanged(first, known)
        if shortcut is None and not whole:
            shortcut = yield from read_growth(first, known, length=length, base=habits.base)
        if shortcut is not None:
            return shortcut
    trusted = trusting or len(first.rows) <= habits.trusted_page
    scan = yield from _prove_scan(
        first, length, habits, check_end=not trusted, had_rows=bool(known and known.total)
    )
    return _full(scan, keep_head=keep_head)


def _unchanged(first: Page, known: Known) -> Reading | None:
    """Whether one page that holds everything shows the very rows that are known."""
    if not first.total == known.total == len(first.rows):
        return None
    if fingerprint(first.rows) != known.fingerprint:
        return None
    return Reading("unchanged", (), known, first.header)


def _prove_scan(
    first: Page, length: int, habits: PagingHabits, *, check_end: bool, had_rows: bool
) -> Generator[list[PageRequest], list[Page], PageScan]:
    """Scan until a scan is proven, by its total or by a second one that agrees."""
    proof = _Proof(habits.base, had_rows=had_rows)
    page: Page | None = first
    for attempt in range(MAX_SCANS):
        asked = _elsewhere(length, attempt)
        try:
            scan = yield from scan_pages(
                length=asked, base=proof.base, first=page, check_end=check_end
            )
        except SourceChangedError as moved:
            proof.witness(moved.seen, moved.total)
            proof.reject(str(moved), base=1 if attempt else proof.base)
            continue
        finally:
            page = None
        doubted = check_end or (scan.pages > 1 and not habits.is_base_proven)
        if proof.base == 1 and (doubted or _falls_short(scan)):
            (before,) = yield [PageRequest(0, length)]
            if not _opens(before, scan):
                proof.witness((*scan.rows, *(row.key for row in before.rows)), scan.total)
                proof.reject("the rows begin elsewhere when Start is 0", base=0)
                continue
        if proof.accepts(scan):
            _learn(habits, scan, proof.base, check_end=check_end)
            return scan
        if proof.is_vain:
            break
    raise UnprovenReadingError(proof.reason)


class _Proof:
    """What the scans of one reading have shown so far.

    is_vain: looking again would show the same. had_rows: the client is known to have had rows.
    """

    def __init__(self, base: int, *, had_rows: bool) -> None:
        self.base = base
        self.reason = ""
        self.is_vain = False
        self._had_rows = had_rows
        self._previous: PageScan | None = None
        self._witnessed: set[Hashable] = set()
        self._most_claimed = 0

    def witness(self, keys: Iterable[Hashable], total: int | None) -> None:
        """Remember rows that were there: a scan without them needs a second that agrees."""
        self._witnessed.update(keys)
        self._most_claimed = max(self._most_claimed, total or 0)

    def reject(self, reason: str, *, base: int) -> None:
        """Count nothing of the last scan, and go on with this base."""
        self.reason, self.base, self._previous = reason, base, None

    def accepts(self, scan: PageScan) -> bool:
        """Whether this scan, with those before it, proves that its rows are all rows."""
        agreed = _agree(scan, self._previous)
        complete = self._witnessed <= scan.rows.keys()
        self.witness(scan.rows, scan.total)
        self._previous = scan
        self.reason = f"{len(scan.rows)} distinct rows were seen, the source claims {scan.total}"
        if not scan.rows and self._had_rows and not agreed:
            # A history that is gone from one day to the next may be an answer that failed.
            return False
        # Two scans alike that fall short of the total: a third would not find what they did not.
        self.is_vain = agreed and scan.total is not None and len(scan.rows) < scan.total
        if scan.total is None:
            return agreed and (scan.anchored or complete)
        # More rows were served than were ever claimed: the totals prove nothing.
        if len(self._witnessed) > self._most_claimed:
            return False
        return len(scan.rows) == scan.total and (agreed or (scan.anchored and complete))


def _learn(habits: PagingHabits, scan: PageScan, base: int, *, check_end: bool) -> None:
    """Remember how the endpoint pages, once that is proven."""
    habits.base = base
    habits.is_base_proven = habits.is_base_proven or scan.pages > 1
    if scan.pages > 1 and not check_end:
        habits.largest_of_many = scan.largest_page
    if check_end and scan.pages <= 2:
        habits.trusted_page = max(habits.trusted_page, scan.largest_page)


def _elsewhere(length: int, attempt: int) -> int:
    """A page length whose seams fall elsewhere at each attempt; a ninth less, at least 3."""
    return max(min(3, length), length - attempt * max(1, length // 9))


def _falls_short(scan: PageScan) -> bool:
    """Whether rows are missing, of which one may lie before the first; or no total tells."""
    return scan.total is None or len(scan.rows) < scan.total


def _opens(before: Page, scan: PageScan) -> bool:
    """Whether Start=0 begins as the scan does, with its first row or a tie of it, and adds none."""
    first = next(iter(scan.rows.values()), None)
    if first is None or not before.rows:
        return first is None and not before.rows
    if any(row.key not in scan.rows for row in before.rows):
        return False
    begins = before.rows[0]
    return begins.key == first.key or begins.moment == first.moment is not None


def _agree(scan: PageScan, previous: PageScan | None) -> bool:
    return (
        previous is not None
        and scan.total == previous.total
        and scan.rows.keys() == previous.rows.keys()
    )


def _full(scan: PageScan, *, keep_head: bool) -> Reading:
    rows = tuple(scan.rows.values())
    head: Iterable[HeadEntry] = ()
    if keep_head or scan.pages > 1:
        head = map(head_entry, whole_groups(rows, 2 * scan.largest_page))
    known = Known(len(rows), fingerprint(rows), tuple(head))
    single = scan.largest_page if scan.pages == 1 else 0
    return Reading("full", rows, known, scan.header, single)
