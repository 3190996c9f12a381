"""Reads one client's rows and proves that they are complete and exact, or fails.

A reading is *proven* when a clean scan (see `scan`) has as many distinct keys as the source claims
rows. When a scan is not enough (no total, a page without an anchor, a suspicious response), a
second one must agree with it. When the source changes during a scan, the scan is repeated, up to
MAX_SCANS times; then the reading is unproven, and the caller leaves the client pending.

The generators do no I/O: they yield lists of `PageRequest`, and the caller sends the `Page`s.
"""

from collections.abc import Generator, Hashable, Iterable
from dataclasses import dataclass

from lcm_pipeline.model.pages import Page, PageRequest
from lcm_pipeline.reading.errors import SourceChangedError, UnprovenReadingError
from lcm_pipeline.reading.fingerprint import (
    ProvenState,
    Reading,
    fingerprint,
    recent_row,
    whole_groups,
)
from lcm_pipeline.reading.growth import read_growth
from lcm_pipeline.reading.scan import MAX_ROWS, PageScan, scan_pages

# Each scan moves the seams. What has changed during six of them is left to the next run.
MAX_SCANS = 6

ReadingRequests = Generator[list[PageRequest], list[Page], Reading]


@dataclass
class PagingHabits:
    """How an endpoint pages, as observed; shared by all its readings.

    base: the server's number for the first row: 1 as documented, 0 on some servers.
    is_base_proven: a reading has shown that there is no row before the base.
    trusted_page: a single page of up to this many rows has been shown to end where the total says;
    -1 when none has.
    largest_of_many: rows in the largest page of a history of several pages, which may be the
    server's maximum.
    """

    base: int = 1
    is_base_proven: bool = False
    trusted_page: int = -1
    largest_of_many: int | None = None


def prove_reading(
    *,
    length: int,
    habits: PagingHabits,
    known: ProvenState | None = None,
    must_be_full: bool = False,
    has_details: bool = False,
    trusts_single_pages: bool = False,
) -> ReadingRequests:
    """Read one client's rows of one endpoint; raises UnprovenReadingError.

    length: rows to request per page. known: the last proven state, None for the first reading.
    must_be_full: read every page even if the first one seems unchanged. has_details: what belongs
    to a row is requested row by row; so a full reading returns all rows even of an unchanged page,
    and recent rows are stored of short histories too. trusts_single_pages: one that reaches its
    total has all rows, whatever its size; the caller checks the largest of them by another reading.
    """
    (first,) = yield [PageRequest(habits.base, length)]
    if (first.total or 0) > MAX_ROWS:
        raise UnprovenReadingError(
            f"the source claims {first.total:,} rows; at most {MAX_ROWS:,} are read per client"
        )
    if known is not None and not first.is_suspicious:
        # Most readings end here: nothing changed, or new rows lie on top of the known ones.
        is_on_one_page = first.total == known.total and len(first.rows) == known.total
        if (
            is_on_one_page
            and not (must_be_full and has_details)
            and fingerprint(first.rows) == known.fingerprint
        ):
            return Reading("unchanged", (), known, first.envelope)
        if not must_be_full:
            grown = yield from read_growth(first, known, length=length, base=habits.base)
            if grown is not None:
                return grown
    # The end needs no check if a page of this size was already shown to end where its total says.
    trusted = trusts_single_pages or len(first.rows) <= habits.trusted_page
    scan = yield from _prove_scan(
        first, length, habits, check_end=not trusted, known_rows=known.total if known else 0
    )
    rows = tuple(scan.rows.values())
    newest = whole_groups(rows, 2 * scan.largest_page) if has_details or scan.pages > 1 else ()
    state = ProvenState(len(rows), fingerprint(rows), tuple(map(recent_row, newest)))
    single_page = scan.largest_page if scan.pages == 1 else 0
    return Reading("full", rows, state, scan.envelope, single_page)


def _prove_scan(
    first: Page, length: int, habits: PagingHabits, *, check_end: bool, known_rows: int
) -> Generator[list[PageRequest], list[Page], PageScan]:
    """Scan until a scan is proven, by its total or by a second scan that agrees."""
    proof = _Proof(habits.base, known_rows=known_rows)
    for attempt in range(MAX_SCANS):
        # A ninth less with each attempt, at least 3: that moves the seams, so a group of ties, or a
        # fault of the source, at one of them is then within a page.
        scan_length = max(min(3, length), length - attempt * max(1, length // 9))
        try:
            scan = yield from scan_pages(
                length=scan_length,
                base=proof.base,
                first=first if attempt == 0 else None,
                check_end=check_end,
            )
        except SourceChangedError as error:
            proof.record_seen(error.seen, error.total)
            # A base of 0 that fails twice may have been wrong: go back to the documented one.
            proof.reject(str(error), base=1 if attempt else proof.base)
            continue
        checks_base = check_end or (scan.pages > 1 and not habits.is_base_proven)
        falls_short = scan.total is None or len(scan.rows) < scan.total
        if proof.base == 1 and (checks_base or falls_short):
            # A server that counts from 0 would hide its first row from a scan that begins at 1.
            (before,) = yield [PageRequest(0, length)]
            if not _begins_like(before, scan):
                proof.record_seen((*scan.rows, *(row.key for row in before.rows)), scan.total)
                proof.reject("Start 0 returns other rows than Start 1", base=0)
                continue
        proof.add_scan(scan)
        if proof.is_proven:
            _update_habits(habits, scan, proof.base, check_end=check_end)
            return scan
        if proof.is_hopeless:
            break
    raise UnprovenReadingError(proof.reason)


class _Proof:
    """What the scans of one reading have shown so far.

    is_proven: the rows of the last scan are complete. reason: why not. is_hopeless: another scan
    would show the same. known_rows: of the last reading.
    """

    def __init__(self, base: int, *, known_rows: int) -> None:
        self.base = base
        self.is_proven = False
        self.reason = ""
        self.is_hopeless = False
        self._known_rows = known_rows
        self._previous: PageScan | None = None
        self._seen: set[Hashable] = set()
        self._most_claimed = 0

    def record_seen(self, keys: Iterable[Hashable], total: int | None) -> None:
        """Record rows that were received: a scan that lacks one needs a second that agrees."""
        self._seen.update(keys)
        self._most_claimed = max(self._most_claimed, total or 0)

    def reject(self, reason: str, *, base: int) -> None:
        """Discard the last scan, and continue with this base."""
        self.reason, self.base, self._previous = reason, base, None

    def add_scan(self, scan: PageScan) -> None:
        """Add a clean scan, and conclude from it and the earlier ones; sets the attributes."""
        previous, total, count = self._previous, scan.total, len(scan.rows)
        agrees = (
            previous is not None
            and total == previous.total
            and scan.rows.keys() == previous.rows.keys()
        )
        has_all_seen = self._seen <= scan.rows.keys()
        self.record_seen(scan.rows, total)
        self._previous = scan
        self.reason = f"distinct rows read: {count}, claimed by the source: {total}"
        if scan.is_suspicious and count < max(1, self._known_rows):
            # The service swallows its own time-outs, and returns what it has read until then. Two
            # scans agree while it is overloaded.
            self.reason += ", with a message each time that may report an error"
            self.is_hopeless = agrees
        elif count == 0 and self._known_rows and not agrees:
            pass  # a history that has suddenly vanished may be a failure of the source
        elif total is None:
            self.is_proven = agrees and (scan.is_anchored or has_all_seen)
        else:
            # When two equal scans fall short of the total, a third would not find more.
            self.is_hopeless = agrees and count < total
            # If more distinct rows came than the source ever claimed, totals prove nothing.
            is_total_credible = len(self._seen) <= self._most_claimed
            self.is_proven = (
                is_total_credible
                and count == total
                and (agrees or (scan.is_anchored and has_all_seen))
            )


def _update_habits(habits: PagingHabits, scan: PageScan, base: int, *, check_end: bool) -> None:
    """Record how the endpoint pages, as proven by this scan."""
    habits.base = base
    habits.is_base_proven = habits.is_base_proven or scan.pages > 1
    if scan.pages > 1 and not check_end:
        habits.largest_of_many = scan.largest_page
    if check_end and scan.pages <= 2:
        habits.trusted_page = max(habits.trusted_page, scan.largest_page)


def _begins_like(before: Page, scan: PageScan) -> bool:
    """Whether the page at Start 0 begins with the scan's first row or a tie, and adds no row."""
    if not scan.rows or not before.rows:
        return not scan.rows and not before.rows
    if any(row.key not in scan.rows for row in before.rows):
        return False
    first_before, first = before.rows[0], next(iter(scan.rows.values()))
    are_ties = first.moment is not None and first_before.moment == first.moment
    return first_before.key == first.key or are_ties
