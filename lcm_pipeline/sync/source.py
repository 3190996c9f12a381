"""What a reading depends on: the API, how it pages, and the window that is read for."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.model.forgotten import Forgotten
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.windows import Window
from lcm_pipeline.reading.proof import PagingHabits
from lcm_pipeline.sync.errors import DayNotOverError

# A service further from our clock does not know the time: its Date is that of the epoch.
_MAX_AHEAD = timedelta(days=366)


@dataclass(frozen=True)
class Source:
    """The API as one run sees it.

    habits: what is known of its paging; readings change them. trusts_single_pages: a single page
    that reaches its total has all rows. forgotten: erased persons, whose rows are dropped.
    kept_from: the first business day whose facts are kept; None for all. pseudonyms: the keys that
    phones and cards are hashed with before staging.
    """

    api: LoyaltyApi
    window: Window
    zone: ZoneInfo
    page_length: int
    habits: PagingHabits = field(default_factory=PagingHabits)
    trusts_single_pages: bool = True
    forgotten: Forgotten = field(default_factory=Forgotten)
    kept_from: date | None = None
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)

    def require_ended(self, read_at: datetime) -> None:
        """Raise DayNotOverError if the window had ended by our clock only when a reading began.

        read_at: by our clock, aware; the reading is over, so the service's clock is known.
        """
        ahead = timedelta(seconds=self.api.clock_ahead)
        window, zone = self.window, self.zone
        if (
            abs(ahead) < _MAX_AHEAD
            and window.has_ended(read_at, zone)
            and not window.has_ended(read_at + ahead, zone)
        ):
            raise DayNotOverError(window, read_at, ahead, zone)
