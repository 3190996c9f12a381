"""Polling one registration day: ClientInfoPeriod has no paging and no total.

A period is asked with a margin, since servers differ on whether its ends belong to it, and rows
of other days are dropped. Fewer rows than before count only when a second look agrees, and so does
a null in the place of the rows. A day that takes too long in one piece is asked in smaller ones.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from lcm_pipeline.api.errors import (
    LoyaltyApiError,
    OverloadedError,
    TooLargeError,
    TransientError,
    TransportError,
    UnavailableError,
)
from lcm_pipeline.api.paging import read_registrations
from lcm_pipeline.feeds import Feed
from lcm_pipeline.model.pages import Page, SourceRow
from lcm_pipeline.model.payloads import SERVICE_ZONE
from lcm_pipeline.model.readings import Outcome, Task
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.reading.fingerprint import fingerprint
from lcm_pipeline.sync.source import Source
from lcm_pipeline.transform.registrations import client_of, land_registrations, registered_on
from lcm_pipeline.transform.values import latest_day

_MARGIN = timedelta(seconds=1)
_SMALLEST_PIECE = timedelta(minutes=1)
# A piece that fails is cut into four: a time-out costs minutes, and halves would take twice as many
# of them to get down to a minute.
_CUT = 4
# Pieces in a row that have to be answered before one of twice their length is tried.
_STEADY = 8
_GATEWAY_TIMED_OUT = (408, 504)


async def read_registration_day(source: Source, feed: Feed, task: Task) -> Outcome:
    """Poll one day; raises UnprovenReadingError when two polls disagree, or what the API raises."""
    assert task.day is not None  # noqa: S101 - a feed that is read by day
    read_at = datetime.now(UTC)
    day = _Day(source, task.day)
    look = await day.look()
    digest = fingerprint(look.rows)
    is_doubtful = look.has_null or len(look.rows) < (task.source_total or 0)
    if is_doubtful and fingerprint((await day.look()).rows) != digest:
        raise UnprovenReadingError(
            f"the registrations of {task.day} differ from one look to the next"
        )
    is_known = digest == task.fingerprint and not task.is_whole
    return Outcome(
        task,
        "done",
        read_at,
        landing=land_registrations(
            task.day, () if is_known else look.rows, source.zone, day.latest
        ),
        reading="unchanged" if is_known else "full",
        source_total=len(look.rows),
        fingerprint=digest,
    )


@dataclass
class _Look:
    """The rows of a day, and those whose day cannot be read. has_null: a piece came as null."""

    rows: list[SourceRow] = field(default_factory=list)
    has_null: bool = False


@dataclass
class _Pieces:
    """How long the pieces of a day are: shorter after a failure, longer after steady success."""

    length: timedelta
    _answered: timedelta | None = None
    _in_a_row: int = 0
    _steady: int = _STEADY

    def succeed(self, length: timedelta) -> None:
        """Note that a piece of that length was answered."""
        self._answered, self._in_a_row = length, self._in_a_row + 1
        if self._in_a_row == self._steady:
            self.length, self._in_a_row = 2 * length, 0

    def fail(self, length: timedelta) -> None:
        """Note that a piece of that length was too much."""
        if self._answered is not None and self._answered < length:
            # That was one of twice the length: the next is not tried as soon.
            self.length, self._steady = self._answered, 2 * self._steady
        else:
            seconds = int(length.total_seconds()) // _CUT
            self.length = max(timedelta(seconds=seconds), _SMALLEST_PIECE)
        self._answered, self._in_a_row = None, 0


class _Day:
    """One registration day, and the length of the pieces in which it is answered."""

    def __init__(self, source: Source, day: date) -> None:
        self.latest = latest_day(datetime.now(source.zone).date())
        self._source = source
        self._day = day
        # In UTC: a day of the programme's zone may have 23 or 25 hours.
        self._begins, self._ends = (
            datetime.combine(midnight, time(), source.zone).astimezone(UTC)
            for midnight in (day, day + timedelta(days=1))
        )
        self._pieces = _Pieces(self._ends - self._begins)

    async def look(self) -> _Look:
        """Read the day from its beginning to its end, in pieces where it has to be."""
        look = _Look()
        seen: set[Hashable] = set()
        at = self._begins
        while at < self._ends:
            until = min(at + self._pieces.length, self._ends)
            try:
                page = await self._read(at, until)
            except (TransientError, TooLargeError) as error:
                if not _may_be_too_much(error) or until - at <= _SMALLEST_PIECE:
                    raise
                self._pieces.fail(until - at)
                continue
            if page.suspicious:
                raise UnprovenReadingError(
                    f"the registrations of {self._day} came with a message each time"
                )
            look.has_null = look.has_null or page.is_null
            # Pieces overlap by the margin.
            look.rows += [row for row in page.rows if row.key not in seen and self._has(row)]
            seen.update(row.key for row in page.rows)
            self._pieces.succeed(until - at)
            at = until
        return look

    def _has(self, row: SourceRow) -> bool:
        """Whether a row is of this day, or of none, and of nobody who was erased."""
        if registered_on(row, self._source.zone, self.latest) not in (self._day, None):
            return False
        return not self._source.forgotten or client_of(row) not in self._source.forgotten

    async def _read(self, begins: datetime, ends: datetime) -> Page:
        """Ask for a piece: hastily while a smaller one may be asked instead."""
        beg, end = _on_service_clock(begins - _MARGIN), _on_service_clock(ends)
        api = self._source.api
        if ends - begins <= _SMALLEST_PIECE:
            return await read_registrations(api.with_attempts(2), beg, end)
        try:
            return await read_registrations(api.with_attempts(1), beg, end)
        except TransientError as error:
            if _took_too_long(error) or (begins, ends) != (self._begins, self._ends):
                raise
        # What failed at once may pass in a moment.
        return await read_registrations(api, beg, end)


def _on_service_clock(moment: datetime) -> datetime:
    return moment.astimezone(SERVICE_ZONE).replace(tzinfo=None)


def _took_too_long(error: TransientError) -> bool:
    """Whether asking for the same again would most likely take as long again."""
    if isinstance(error, UnavailableError):
        return error.status in _GATEWAY_TIMED_OUT
    return _may_be_too_much(error)


def _may_be_too_much(error: LoyaltyApiError) -> bool:
    """Whether a smaller piece may be answered."""
    if isinstance(error, TransportError):
        return not error.never_sent
    if isinstance(error, UnavailableError):
        return not error.throttled
    return isinstance(error, OverloadedError | TooLargeError)
