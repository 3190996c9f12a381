"""Moments, business days and money."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcm_pipeline.transform.values import (
    InvalidValueError,
    business_day,
    latest_day,
    parse_dated_moment,
    parse_moment,
    to_average,
    to_money,
)
from tests.unit.transform_rows import MOSCOW


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-04T12:00:00", datetime(2026, 3, 4, 9, tzinfo=UTC)),
        ("2026-03-04T12:00:00.5", datetime(2026, 3, 4, 9, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-04T12:00:00Z", datetime(2026, 3, 4, 12, tzinfo=UTC)),
        ("2026-03-04T12:00:00+03:00", datetime(2026, 3, 4, 9, tzinfo=UTC)),
        ("2026-03-04T12:00:00.1234567-05:00", datetime(2026, 3, 4, 17, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-03-04 12:00:00", datetime(2026, 3, 4, 9, tzinfo=UTC)),
        ("2026-03-04", datetime(2026, 3, 3, 21, tzinfo=UTC)),
    ],
)
def test_a_time_without_an_offset_is_moscow_time(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment


@pytest.mark.parametrize(
    ("text", "utc_hour"),
    [
        ("2010-07-01T12:00:00", 8),  # summer time
        ("2010-01-01T12:00:00", 9),
        ("2012-01-01T12:00:00", 8),  # summer time all year
        ("2014-10-25T12:00:00", 8),
        ("2014-10-26T12:00:00", 9),
        ("2014-10-27T12:00:00", 9),
    ],
)
def test_old_times_follow_the_clock_changes_of_their_year(text: str, utc_hour: int) -> None:
    moment = parse_moment(text)
    assert moment is not None
    assert moment.astimezone(UTC).hour == utc_hour


def test_a_repeated_hour_is_read_as_the_first() -> None:
    assert parse_moment("2010-10-31T02:30:00") == datetime(2010, 10, 30, 22, 30, tzinfo=UTC)


@given(st.datetimes(datetime(2014, 10, 27), datetime(9999, 12, 31)))
def test_the_fast_path_for_recent_times_agrees_with_the_history_of_the_zone(
    naive: datetime,
) -> None:
    moment = parse_moment(naive.isoformat())
    assert moment is not None
    assert moment == naive.replace(tzinfo=MOSCOW).astimezone(UTC)


@pytest.mark.parametrize("digits", range(1, 12))
def test_the_last_instant_of_a_day_stays_on_its_day(digits: int) -> None:
    moment, day = parse_dated_moment("2026-03-04T23:59:59." + "9" * digits, "Proctime", MOSCOW)
    assert day == date(2026, 3, 4)
    assert moment.astimezone(MOSCOW).second == 59


@pytest.mark.parametrize(
    "text", [None, "", "0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+03:00"]
)
def test_an_unset_time_is_none(text: str | None) -> None:
    assert parse_moment(text) is None


@pytest.mark.parametrize(
    "text",
    ["soon", " ", "2026-02-30T12:00:00", "2026-03-04T25:00:00", "2026-03-04T24:00:00",
     "2026-W10-3T12:00:00", "20260304", "2026-03-04T12", "2026-03-04T12:00:00z",
     "2026-03-04T12:00:00+99:00", "04.03.2026 12:00:00", "2026-03-04T12:00:00\n",
     "٢٠٢٦-03-04T12:00:00", "0000-01-01T00:00:00", "9999-12-31T23:59:59-05:00"],
)  # fmt: skip
def test_a_text_that_is_not_a_time_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_moment(text, "Proctime")
    assert str(caught.value) == "Proctime: not a date and time"


def test_the_largest_time_is_read() -> None:
    assert parse_moment("9999-12-31T23:59:59.9999999") == datetime(
        9999, 12, 31, 20, 59, 59, 999_999, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-04T00:00:00", date(2026, 3, 4)),
        ("2026-03-04T20:59:59.9999999Z", date(2026, 3, 4)),
        ("2026-03-04T21:00:00Z", date(2026, 3, 5)),
        ("2026-03-04T23:30:00+05:00", date(2026, 3, 4)),
        ("2026-03-05T01:30:00+05:00", date(2026, 3, 4)),
        ("2010-07-01T19:59:59Z", date(2010, 7, 1)),
        ("2010-07-01T20:00:00Z", date(2010, 7, 2)),
        ("2010-07-01T00:00:00", date(2010, 7, 1)),
        ("2010-07-01T23:59:59.9999999", date(2010, 7, 1)),
    ],
)
def test_a_business_day_begins_at_midnight_in_moscow(text: str, day: date) -> None:
    assert parse_dated_moment(text, "Proctime", MOSCOW)[1] == day


def test_a_business_day_is_that_of_the_programmes_zone() -> None:
    moment = parse_moment("2026-03-04T22:30:00")
    assert moment is not None
    assert business_day(moment, ZoneInfo("Asia/Yekaterinburg")) == date(2026, 3, 5)
    assert business_day(moment, ZoneInfo("UTC")) == date(2026, 3, 4)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1999-12-31T23:59:59", "is before 2000-01-01"),
        ("1900-01-01T00:00:00", "is before 2000-01-01"),
        ("1753-01-01T00:00:00", "is before 2000-01-01"),
        ("1999-12-31T20:59:59Z", "is before 2000-01-01"),
        ("2027-03-06T00:00:00", "is more than 366 days after the reading"),
        ("2027-03-05T21:00:00Z", "is more than 366 days after the reading"),
        ("9998-12-31T00:00:00", "is more than 366 days after the reading"),
        ("9999-12-31T23:30:00Z", "is outside the calendar"),
    ],
)
def test_an_implausible_business_day_is_refused_with_its_bound(text: str, fault: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_dated_moment(text, "ProcTime", MOSCOW, latest_day(date(2026, 3, 4)))
    assert str(caught.value) == f"ProcTime: business day {fault}"


@pytest.mark.parametrize("text", ["2000-01-01T00:00:00", "2027-03-05T23:59:59.9999999"])
def test_the_first_and_the_last_plausible_day_are_business_days(text: str) -> None:
    day = parse_dated_moment(text, "ProcTime", MOSCOW, latest_day(date(2026, 3, 4)))[1]
    assert str(day) == text[:10]


def test_without_a_reading_date_any_day_that_a_table_can_hold_is_plausible() -> None:
    assert latest_day(date.max) == date(9998, 12, 31)
    assert parse_dated_moment("9998-06-01T12:00:00", "ProcTime", MOSCOW)[1] == date(9998, 6, 1)
    with pytest.raises(InvalidValueError, match="ProcTime: business day is after 9998-12-31"):
        parse_dated_moment("9999-01-01T00:00:00", "ProcTime", MOSCOW)


@given(st.datetimes(datetime(2000, 1, 1), datetime(9998, 12, 30)))
def test_a_naive_time_has_the_business_day_of_its_date(naive: datetime) -> None:
    assert parse_dated_moment(naive.isoformat(), "ProcTime", MOSCOW)[1] == naive.date()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("12.5", "12.50"),
        ("-3", "-3.00"),
        ("1E+2", "100.00"),
        ("0.1000000000000000055511151231257827", "0.10"),
        ("12.4999999", "12.50"),
        ("12.3450004", None),
        ("0.0000009", "0.00"),
        ("-0.0000009", "0.00"),
        ("0.000001", None),
        ("0.005", None),
        ("99999999999999999.99", "99999999999999999.99"),
        ("-99999999999999999.99", "-99999999999999999.99"),
        ("99999999999999999.9999999", None),
        ("100000000000000000", None),
        ("1E+400", None),
        ("NaN", None),
        ("sNaN", None),
        ("Infinity", None),
    ],
)
def test_money_has_two_decimals_and_more_of_them_only_as_float_noise(
    sent: str, kept: str | None
) -> None:
    if kept is None:
        with pytest.raises(InvalidValueError, match=r"^Amount: "):
            to_money(Decimal(sent), "Amount")
    else:
        assert str(to_money(Decimal(sent), "Amount")) == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("1.005", "1.01"), ("1.0049999", "1.00"), ("-1.005", "-1.01"), ("33.333333333", "33.33")],
)
def test_an_average_is_rounded_half_up(sent: str, kept: str) -> None:
    assert str(to_average(Decimal(sent), "AvgAll")) == kept


@pytest.mark.parametrize("sent", ["NaN", "-Infinity", "1E+17", "99999999999999999.999"])
def test_an_average_that_no_column_can_hold_is_refused(sent: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^AvgAll: not within numeric"):
        to_average(Decimal(sent), "AvgAll")


def test_an_amount_that_was_not_sent_is_none() -> None:
    assert to_money(None, "Amount") is None
    assert to_average(None, "AvgAll") is None


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_any_amount_is_kept_within_float_noise_or_refused(value: Decimal) -> None:
    try:
        amount = to_money(value, "Amount")
    except InvalidValueError:
        return
    assert amount is not None
    assert amount.as_tuple().exponent == -2
    assert abs(value - amount) <= Decimal("0.000001")
