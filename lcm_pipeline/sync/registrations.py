"""Polling one registration day: ClientInfoPeriod has no paging and no total.

A period is requested with a margin, since servers differ on whether its ends are inclusive, and
rows of other days are dropped. Fewer rows than before, or null instead of rows, count only when a
second poll agrees. A day that cannot be read in one request is polled in shorter periods.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from lcm_pipeline.api.errors import (
    LoyaltyApiError,
    MalformedError,
    OverloadedError,
    TooLargeError,
    TransientError,
    TransportError,
    UnavailableError,
)
from lcm_pipeline.api.paging import read_registrations
from lcm_pipeline.model.pages import Page, SourceRow
from lcm_pipeline.model.payloads import SERVICE_ZONE
from lcm_pipeline.model.tasks import Outcome, Task
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.reading.fingerprint import fingerprint
from lcm_pipeline.sync.source import Source
from lcm_pipeline.transform.pseudonyms import pseudonymize
from lcm_pipeline.transform.registrations import client_of, registered_on, transform_registrations
from lcm_pipeline.transform.values import latest_day

_MARGIN = timedelta(seconds=1)
_SHORTEST_PERIOD = timedelta(minutes=1)
# A period that fails is divided by four: a time-out costs minutes, and halves would need twice as
# many of them to get down to a minute.
_DIVISOR = 4
# Consecutive periods that have to succeed before one of twice their length is tried.
_SUCCESSES_TO_GROW = 8
# Attempts at a part of a day while there is reason to expect that it is too long.
_FEW_ATTEMPTS = 2


async def read_registration_day(source: Source, task: Task) -> Outcome:
    """Poll one day; raises UnprovenReadingError when two polls disagree, or what the API raises."""
    assert task.day is not None  # noqa: S101 - a feed that is read by day
    read_at = datetime.now(UTC)
    day = _Day(source, task.day)
    poll = await day.poll()
    digest = fingerprint(poll.rows)
    is_doubtful = poll.has_null or len(poll.rows) < (task.source_total or 0)
    if is_doubtful and fingerprint((await day.poll()).rows) != digest:
        raise UnprovenReadingError(
            f"the registrations of {task.day} differ from one poll to the next"
        )
    digest = source.pseudonyms.digest(digest)
    is_known = digest == task.fingerprint and not task.must_be_full
    staged = transform_registrations(
        task.day, () if is_known else poll.rows, source.zone, day.latest
    )
    return Outcome(
        task,
        "done",
        read_at,
        staged=pseudonymize(staged, source.pseudonyms),
        reading="unchanged" if is_known else "full",
        source_total=len(poll.rows),
        fingerprint=digest,
    )


@dataclass
class _Poll:
    """The rows of a day, and those whose day cannot be read. has_null: a period returned null."""

    rows: list[SourceRow] = field(default_factory=list)
    has_null: bool = False


@dataclass
class _PeriodLength:
    """How long a requested period is: shorter after a failure, longer after steady success."""

    length: timedelta
    _succeeded: timedelta = field(default=timedelta(0), init=False)
    _consecutive: int = field(default=0, init=False)
    _needed: int = field(default=_SUCCESSES_TO_GROW, init=False)

    def succeed(self, length: timedelta) -> None:
        """Record that a period of that length succeeded."""
        self._succeeded = max(self._succeeded, length)
        self._consecutive += 1
        if self._consecutive == self._needed:
            self.length, self._consecutive = 2 * self._succeeded, 0

    def has_succeeded(self, length: timedelta) -> bool:
        """Whether a period of that length or a longer one has succeeded since the last failure."""
        return length <= self._succeeded

    def fail(self, length: timedelta) -> None:
        """Record that a period of that length was too much."""
        if timedelta(0) < self._succeeded < length:
            # An attempt at twice the length failed: wait longer before the next one.
            self.length, self._needed = self._succeeded, 2 * self._needed
        else:
            seconds = int(length.total_seconds()) // _DIVISOR
            self.length = max(timedelta(seconds=seconds), _SHORTEST_PERIOD)
            self._succeeded = timedelta(0)
        self._consecutive = 0


class _Day:
    """One registration day, and the length of the periods in which it is polled."""

    def __init__(self, source: Source, day: date) -> None:
        self.latest = latest_day(datetime.now(source.zone).date())
        self._source = source
        self._day = day
        # In UTC: a day of the programme's zone may have 23 or 25 hours.
        self._begins, self._ends = (
            datetime.combine(midnight, time(), source.zone).astimezone(UTC)
            for midnight in (day, day + timedelta(days=1))
        )
        self._period = _PeriodLength(self._ends - self._begins)

    async def poll(self) -> _Poll:
        """Poll the day from its beginning to its end, in several periods where needed."""
        poll = _Poll()
        seen: set[Hashable] = set()
        at = self._begins
        while at < self._ends:
            until = min(at + self._period.length, self._ends)
            try:
                page = await self._read(at, until)
            except (TransientError, TooLargeError) as error:
                if not _is_shorter_period_worth_trying(error) or until - at <= _SHORTEST_PERIOD:
                    raise
                self._period.fail(until - at)
                continue
            if page.is_suspicious:
                raise UnprovenReadingError(
                    f"the registrations of {self._day} have a message each time"
                )
            poll.has_null = poll.has_null or page.is_null
            # Periods overlap by the margin. A row that is sent twice is stored, and counted, once.
            rows = {row.digest: row for row in page.rows if row.key not in seen}
            poll.rows += filter(self._accepts, rows.values())
            seen.update(row.key for row in page.rows)
            self._period.succeed(until - at)
            at = until
        return poll

    def _accepts(self, row: SourceRow) -> bool:
        """Whether a row is of this day, or of no readable day, and not of an erased person."""
        if registered_on(row, self._source.zone, self.latest) not in (self._day, None):
            return False
        return not self._source.forgotten or client_of(row) not in self._source.forgotten

    async def _read(self, begins: datetime, ends: datetime) -> Page:
        """Request a period as often as its failures may be chance; then it is too long.

        A failure persists when the attempts of any call are used up. Less is enough in two cases: a
        time-out of the whole day, since the same request would take minutes again, and the second
        failure of a part of it when no part as long has succeeded since the last that was too long.
        An outage fails at all lengths, and should not take all attempts at each.

        Failures for which the length does not matter are retried like those of any other call.
        """
        length = ends - begins
        has_succeeded = self._period.has_succeeded(length)
        is_whole_day = length == self._ends - self._begins

        def is_too_long(error: TransientError) -> bool:
            if has_succeeded or not _is_shorter_period_worth_trying(error):
                return False
            return error.timed_out if is_whole_day else error.attempts >= _FEW_ATTEMPTS

        api = self._source.api.giving_up(is_too_long)
        beg, end = _on_service_clock(begins - _MARGIN), _on_service_clock(ends)
        return await read_registrations(api, beg, end)


def _on_service_clock(moment: datetime) -> datetime:
    return moment.astimezone(SERVICE_ZONE).replace(tzinfo=None)


def _is_shorter_period_worth_trying(error: LoyaltyApiError) -> bool:
    """Whether a request for a shorter period may succeed."""
    if isinstance(error, TransportError):
        return not error.never_sent
    if isinstance(error, UnavailableError):
        return not error.throttled
    # A gateway that limits responses may cut one off, or send its own page instead.
    return isinstance(error, OverloadedError | MalformedError | TooLargeError)
