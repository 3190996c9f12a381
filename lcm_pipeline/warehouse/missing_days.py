"""Which days a sync has to read so that every feed is complete through yesterday."""

from dataclasses import dataclass
from datetime import date, timedelta

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from lcm_pipeline.warehouse.queries import fetch_rows
from lcm_pipeline.warehouse.status import open_snapshot


@dataclass(frozen=True)
class _Days:
    """The first and the last synced day of a feed, and of its days that are not complete.

    kept_from: the first business day that is stored, see `expiration`; None without a limit.
    """

    feed: str
    first_day: date | None
    last_day: date | None
    first_incomplete: date | None
    last_incomplete: date | None
    kept_from: date | None


def missing_window(warehouse: Warehouse, start: date | None, yesterday: date) -> Window | None:
    """The window from the first to the last incomplete day of any feed; None if there is none.

    start: the programme's first day; None for the first day that was ever synced. Days before it
    are not missing. One window, since a range of days takes one reading of each client. Raises
    WarehouseUnavailableError if neither is known.
    """
    with open_snapshot(warehouse) as session:
        feeds = fetch_rows(session, _Days, "incomplete_days")
    firsts, lasts = set[date](), set[date]()
    for feed in feeds:
        if feed.first_day is None or feed.last_day is None:
            # A feed that was never synced gets the days of the other feeds, or all days.
            firsts |= {other.first_day for other in feeds if other.first_day is not None}
            firsts |= {start} if start is not None else set()
            lasts.add(yesterday)
            continue
        begins = start if start is None or feed.kept_from is None else max(start, feed.kept_from)
        if begins is not None and begins < feed.first_day:
            firsts.add(begins)
            lasts.add(feed.first_day - timedelta(days=1))
        if feed.first_incomplete is not None and feed.last_incomplete is not None:
            firsts.add(feed.first_incomplete)
            lasts.add(feed.last_incomplete)
        if feed.last_day < yesterday:
            firsts.add(feed.last_day + timedelta(days=1))
            lasts.add(yesterday)
    if not lasts:
        return None
    if not firsts:
        raise WarehouseUnavailableError(
            "Nothing was synced yet, so the missing days are not known: set LCM_START_DATE to the"
            " programme's first day, or give the days with --from and --to"
        )
    first = min(firsts) if start is None else max(start, min(firsts))
    last = min(max(lasts), yesterday)
    # All incomplete days are before a start that was set later.
    return None if last < first else Window(first, last)
