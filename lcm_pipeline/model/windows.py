"""A window: the business days of a run, both ends included."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, order=True)
class Window:
    """Business days from `first` to `last`, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise ValueError(f"a window cannot end on {self.last}, before it begins: {self.first}")

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}...{self.last}"

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def days(self) -> Iterator[date]:
        """Each day, in order."""
        return (self.first + timedelta(days=count) for count in range(len(self)))

    def has_ended(self, now: datetime, zone: ZoneInfo) -> bool:
        """Whether the last day is over in the programme's time zone; `now` is aware."""
        return now.astimezone(zone).date() > self.last

    def fresh_from(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The earliest moment at which a reading covers the window, as of `now` (both aware).

        That is the end of the last day. If that is still to come, it is the beginning of today: a
        window that is not over can only be read as of today.
        """
        ended = datetime.combine(self.last + timedelta(days=1), time(), zone)
        return min(ended, datetime.combine(now.astimezone(zone).date(), time(), zone))
