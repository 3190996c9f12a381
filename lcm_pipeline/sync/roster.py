"""Which registration days a run polls, and on which schedule it reads clients.

The roster must not have gaps, so days that were never polled are always included, from
LCM_START_DATE on. Then the look-back, since registrations turn up late and cards change, and the
audit's share of older days.
"""

from collections.abc import Set as AbstractSet
from datetime import date, timedelta

from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.ingest.schedule import Schedule


def schedule_of(settings: Settings) -> Schedule:
    """How often clients are read."""
    return Schedule(settings.audit_share, settings.max_staleness_days)


def first_day(settings: Settings, window: Window, first_polled: date | None) -> date:
    """The first registration day of the roster: LCM_START_DATE, or the first day ever polled."""
    return min(settings.start_date or first_polled or window.first, window.first)


def missing_days(begins: date, window: Window, polled: AbstractSet[date]) -> list[date]:
    """The days up to the window's end that were never polled."""
    return [day for day in Window(begins, window.last).days() if day not in polled]


def days_to_poll(
    begins: date, window: Window, polled: AbstractSet[date], settings: Settings
) -> list[date]:
    """The days that a run of the window polls, in order."""
    look_back_from = max(begins, window.first - timedelta(days=settings.lookback_days))
    # The audit takes the older days in rotation: as many in a window as it has days.
    rotation = max(1, round(1 / settings.audit_share)) if settings.audit_share > 0 else None
    return [
        day
        for day in Window(begins, window.last).days()
        if day >= look_back_from
        or day not in polled
        or (rotation is not None and (window.last - day).days % rotation < len(window))
    ]
