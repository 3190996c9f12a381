"""Single values as the warehouse holds them: moments, business days, money.

The only place that parses a time or rounds money. A value that does not fit raises
InvalidValueError, whose text names the field and the fault, never the value.
An hour that occurred twice in Moscow (clock changes before 2014) is read as the first of the two.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import TypeVar
from zoneinfo import ZoneInfo

from lcm_pipeline.model.payloads import SERVICE_ZONE

ValueT = TypeVar("ValueT")

# Earlier days are the zero dates of a database (1753, 1900): the service is younger than that. Each
# such row would add its year to the partitions and to the daily marts, which begin with this day:
# mart.first_plausible_day().
EARLIEST_DAY = date(2000, 1, 1)
# How far after its reading a row may be dated: clocks differ, and some events are planned.
DAYS_AHEAD = 366
# The last day that a partition can hold.
LAST_DAY = date(9998, 12, 31)

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
# Moscow has had a fixed offset since 2014-10-26, which saves a lookup in the zone's history.
_MOSCOW_SINCE = "2014-10-27"
_MOSCOW_NOW = timezone(timedelta(hours=3))

_CENT = Decimal("0.01")
_ZERO = Decimal("0.00")
_FLOAT_NOISE = Decimal("0.000001")
_DIGITS_BEFORE_POINT = 17
_ARITHMETIC = Context(prec=40, rounding=ROUND_HALF_UP)


class InvalidValueError(ValueError):
    """A value that its column cannot store, or a missing value of a key."""


def require(value: ValueT | None, field: str) -> ValueT:
    """Return a required value; raises InvalidValueError if it is None."""
    if value is None:
        raise InvalidValueError(f"{field}: missing")
    return value


def parse_moment(text: str | None, field: str = "moment") -> datetime | None:
    """Read a time, naive ones as Moscow time; unset, empty and year 1 are None.

    Digits below the microsecond are cut off, so that the end of a day stays on its day.
    """
    if not text:
        return None
    try:
        return _read_moment(text)
    except (ValueError, OverflowError) as error:
        raise InvalidValueError(f"{field}: not a date and time") from error


# The times of a row repeat within it and from row to row.
@lru_cache(maxsize=4096)
def _read_moment(text: str) -> datetime | None:
    if _MOMENT.fullmatch(text) is None:
        raise ValueError("not as the service writes a time")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        return None if moment.year == 1 else moment.astimezone(UTC)
    if text >= _MOSCOW_SINCE:
        return moment.replace(tzinfo=_MOSCOW_NOW)
    return None if moment.year == 1 else moment.replace(tzinfo=SERVICE_ZONE).astimezone(UTC)


def latest_day(read_on: date) -> date:
    """Return the last business day that is plausible for a row that was read on a day."""
    return min(LAST_DAY, read_on + timedelta(days=min(DAYS_AHEAD, (LAST_DAY - read_on).days)))


def business_day(
    moment: datetime, zone: ZoneInfo, field: str = "moment", latest: date = LAST_DAY
) -> date:
    """Return the day of a moment in the programme's zone, if it is plausible.

    latest: the last plausible day, see `latest_day`. Raises InvalidValueError.
    """
    if moment.tzinfo is _MOSCOW_NOW and zone.key == SERVICE_ZONE.key:
        day = moment.date()
    else:
        try:
            day = moment.astimezone(zone).date()
        except OverflowError as error:
            raise InvalidValueError(f"{field}: business day is outside the calendar") from error
    if day < EARLIEST_DAY:
        raise InvalidValueError(f"{field}: business day is before {EARLIEST_DAY}")
    if day > LAST_DAY:
        raise InvalidValueError(f"{field}: business day is after {LAST_DAY}")
    if day > latest:
        raise InvalidValueError(
            f"{field}: business day is more than {DAYS_AHEAD} days after the reading"
        )
    return day


def parse_dated_moment(
    text: str | None, field: str, zone: ZoneInfo, latest: date = LAST_DAY
) -> tuple[datetime, date]:
    """Read the moment of a key, and its business day; raises InvalidValueError."""
    moment = require(parse_moment(text, field), field)
    return moment, business_day(moment, zone, field, latest)


def day_of(text: str | None, zone: ZoneInfo) -> date | None:
    """Return the business day of a moment as it was sent; None for none, or one that is no day."""
    try:
        return parse_dated_moment(text, "moment", zone)[1]
    except InvalidValueError:
        return None


def to_money(value: Decimal | None, field: str) -> Decimal | None:
    """Return an amount with two decimals; more of them are refused unless they are float noise."""
    if value is None:
        return None
    if value.same_quantum(_CENT) and value.adjusted() < _DIGITS_BEFORE_POINT:
        return value or _ZERO  # the usual case: two decimals, nothing to round
    amount = _round_to_cents(value, field)
    if amount != value and abs(_ARITHMETIC.subtract(value, amount)) >= _FLOAT_NOISE:
        raise InvalidValueError(f"{field}: more than two decimals")
    return amount


def to_average(value: Decimal | None, field: str) -> Decimal | None:
    """Return an average rounded half up to two decimals, however many it has."""
    return None if value is None else _round_to_cents(value, field)


def _round_to_cents(value: Decimal, field: str) -> Decimal:
    try:
        amount = value.quantize(_CENT, ROUND_HALF_UP, _ARITHMETIC)
    except ArithmeticError as error:
        raise InvalidValueError(f"{field}: not within numeric(19,2)") from error
    if amount.is_nan() or amount.adjusted() >= _DIGITS_BEFORE_POINT:
        raise InvalidValueError(f"{field}: not within numeric(19,2)")
    return amount or _ZERO  # no -0.00
