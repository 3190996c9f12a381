"""The made-up programme of `lcm simulate` and `lcm demo`: when it began, and its now."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_MOSCOW = ZoneInfo("Europe/Moscow")


def now() -> datetime:
    """Naive Moscow time, as the simulator counts it."""
    return datetime.now(UTC).astimezone(_MOSCOW).replace(tzinfo=None, microsecond=0)


def began(days: int) -> date:
    """The first of so many whole days before today."""
    return now().date() - timedelta(days=days)
