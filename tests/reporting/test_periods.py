"""The page of a week or a month: sums of its days, next to the previous period."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lcm_pipeline.reporting.figures import ReportError
from lcm_pipeline.reporting.periods import last_ended_period, parse_period, period_of
from lcm_pipeline.reporting.reports import Report, make_period_report
from tests.commands import run_report
from tests.marts.golden import total
from tests.marts.worlds import Synced
from tests.reporting.reading_pages import Page, number
from tests.reporting.shops import SECOND, START, THIRD, Shop

pytestmark = pytest.mark.slow

WEEK = parse_period("week", "2026-W12")


@pytest.fixture(scope="module")
def week(by_chance: Synced) -> Page:
    return Page(make_period_report(by_chance.warehouse, "week", WEEK, "en").html)


@pytest.fixture(scope="module")
def month(by_chance: Synced) -> tuple[Report, Page]:
    """March, without data for its last day yet."""
    report = make_period_report(
        by_chance.warehouse, "month", parse_period("month", "2026-03"), "en"
    )
    return report, Page(report.html)


@pytest.fixture(scope="module")
def days(by_chance: Synced) -> dict[date, dict[str, Any]]:
    return {row["day"]: row for row in by_chance.golden.program_daily()}


def _sum(days: dict[date, dict[str, Any]], column: str, first: date, count: int) -> Decimal:
    return sum(
        (Decimal(str(days[first + timedelta(days=n)][column])) for n in range(count)), Decimal(0)
    )


@pytest.mark.parametrize(
    ("label", "column"),
    [
        ("Net sales", "net_sales"),
        ("Purchases", "purchases"),
        ("New members", "new_members"),
        ("Points added", "points_added"),
        ("Points redeemed", "points_redeemed"),
    ],
)
def test_a_week_is_the_sum_of_its_days_next_to_the_week_before(
    label: str, column: str, week: Page, days: dict[date, dict[str, Any]]
) -> None:
    now, before, change = week.row("programme", label)
    sums = [_sum(days, column, first, 7) for first in (WEEK.first, WEEK.before.first)]
    assert [number(now), number(before)] == sums
    assert number(change) == (100 * (sums[0] / sums[1] - 1)).quantize(Decimal("0.1"))


def test_a_balance_of_a_week_is_the_one_of_its_last_day(
    week: Page, days: dict[date, dict[str, Any]]
) -> None:
    now, before, _ = week.row("programme", "Active balance")
    shown = [number(text.rstrip("°* ")) for text in (now, before)]
    ends = [WEEK.last, WEEK.before.last]
    assert shown == [Decimal(str(days[day]["active_balance"])) for day in ends]


def test_buyers_of_a_week_are_the_mean_of_its_days(
    week: Page, days: dict[date, dict[str, Any]]
) -> None:
    mean = _sum(days, "buyers", WEEK.first, 7) / 7
    shown = number(week.row("programme", "Buyers per day")[0])
    assert shown is not None
    assert abs(shown - mean) < Decimal("0.06")


def test_a_ratio_of_a_week_is_a_sum_divided_by_a_count(week: Page, by_chance: Synced) -> None:
    bought = by_chance.golden.purchases
    bought = bought[(bought["day"] >= WEEK.first) & (bought["day"] <= WEEK.last)]
    average = (total(bought["amount"]) / len(bought)).quantize(Decimal("0.01"))
    assert number(week.row("programme", "Average purchase")[0]) == average


def test_each_tile_shows_the_change_since_the_period_before(week: Page) -> None:
    tiles = week.section("programme").xpath(".//div[@class='tile']")
    changes = [" ".join(tile.xpath("./dd")[1].text_content().split()) for tile in tiles]
    assert len(changes) == 8
    assert all(text.startswith("vs. 2026-W11 ") for text in changes)
    assert any("%" in text for text in changes)


def test_a_month_that_is_not_over_is_compared_with_as_many_days(
    month: tuple[Report, Page], days: dict[date, dict[str, Any]]
) -> None:
    report, page = month
    assert (report.day, report.is_part, report.name) == (date(2026, 3, 30), True, "2026-03")
    assert "The period is not over" in page.words("trust")
    assert "through 30 Mar 2026 (30 of 31)" in page.words("trust")
    assert "2026-03, part" in page.words("programme")
    now, before, _ = page.row("programme", "Net sales")
    assert number(now) == _sum(days, "net_sales", date(2026, 3, 1), 30)
    # February has 28 days.
    assert number(before) == _sum(days, "net_sales", date(2026, 2, 1), 28)
    assert "through 30 Mar 2026" in page.words("points")


def test_stores_of_a_week_sum_up_to_the_programme(week: Page) -> None:
    stores = [number(cells[0]) for _, cells in week.rows("stores")]
    assert sum(filter(None, stores)) == number(week.row("programme", "Net sales")[0])


def test_a_period_without_a_previous_one_has_no_change(by_chance: Synced) -> None:
    """The programme begins in the middle of its first week, which is no basis for a change."""
    second = period_of("week", by_chance.first + timedelta(days=7))
    assert second.before.first < by_chance.first
    page = Page(make_period_report(by_chance.warehouse, "week", second, "en").html)
    now, _, change = page.row("programme", "Net sales")
    assert number(now)
    assert change == "—"


def test_the_first_week_is_shown_from_the_day_on_which_the_data_begins(shop: Shop) -> None:
    shop.sync(START)
    report = make_period_report(shop.warehouse, "week", period_of("week", START), "en")
    page = Page(report.html)
    assert (report.incomplete, report.begins, report.is_part) == ((), START, False)
    assert "Data for the period is complete" in page.words("trust")
    assert "Data begins on 1 Mar 2026" in page.words("trust")
    assert page.row("trust", "Operations")[0] == "1 of 1"
    assert page.row("programme", "Net sales")[0] == "200.00 ₽"


def test_a_week_with_a_day_that_one_feed_lacks_is_incomplete(shop: Shop) -> None:
    shop.sync(START)
    shop.sync_operations(SECOND)
    report = make_period_report(shop.warehouse, "week", period_of("week", SECOND), "en")
    page = Page(report.html)
    assert set(report.incomplete) == {"leads", "favourite_offers"}
    assert report.begins is None
    assert "Some data for the period has not been loaded" in page.words("trust")
    assert page.row("trust", "Leads")[0] == "0 of 1"


@pytest.mark.slow
def test_days_that_a_feed_lacks_make_no_change_since_the_period_before(shop: Shop) -> None:
    shop.sync(START)
    for day in (2, 3, 9):
        shop.author.lead(shop.client, 40 + day, f"2026-03-{day:02}T09:00:00")
    shop.sync(SECOND)
    shop.sync(date(2026, 3, 9))
    shop.sync_operations(date(2026, 3, 10))
    week = parse_period("week", "2026-W11")
    page = Page(make_period_report(shop.warehouse, "week", week, "en").html)
    # One lead on the 9th, and nobody knows how many on the 10th; two on the 2nd and 3rd.
    assert page.row("leads", "New leads") == ["1*", "2", "—"]
    assert page.row("programme", "Purchases")[2] != "—"


@pytest.mark.slow
def test_without_a_value_the_last_ended_period_is_reported(
    tmp_path: Path, by_chance: Synced
) -> None:
    for word, name in (("--week", "2026-W13"), ("--month", "2026-02")):
        ended = run_report(tmp_path, by_chance.warehouse.url, word, "--output", "page.html")
        assert ended.returncode == 0, ended.stderr
        assert f"lcm report {word} {name}" in (tmp_path / "page.html").read_text(encoding="utf-8")
    ended = run_report(tmp_path, by_chance.warehouse.url, "--month", "2026-03")
    assert "2026-03 is not over: the page shows it through 2026-03-30" in ended.stderr
    assert (tmp_path / "report-2026-03.html").exists()


def test_weeks_begin_on_monday_and_months_are_calendar_months() -> None:
    assert (WEEK.first, WEEK.last) == (date(2026, 3, 16), date(2026, 3, 22))
    assert period_of("week", date(2027, 1, 2)).name == "2026-W53"
    december = period_of("month", date(2026, 12, 15))
    assert (december.last, december.before.name) == (date(2026, 12, 31), "2026-11")
    assert last_ended_period("week", date(2026, 3, 22)) == WEEK
    assert last_ended_period("week", date(2026, 3, 28)) == WEEK
    assert last_ended_period("month", date(2026, 2, 28)).name == "2026-02"


def test_the_rows_of_a_period_that_were_restated_are_those_of_all_its_days(shop: Shop) -> None:
    shop.sync(START)
    shop.sync(SECOND)
    for number_of_cheque, moment in ((598, "2026-03-01T20:00:00"), (599, "2026-03-02T20:00:00")):
        shop.author.cheque(shop.other, number_of_cheque, moment, "5.00")
    shop.sync(THIRD)
    march = parse_period("month", "2026-03")
    page = Page(make_period_report(shop.warehouse, "month", march, "en").html)
    assert page.row("health", "Operations")[4] == "2"
    assert "Restated rows of the period" in page.words("health")
    _, day = shop.report(THIRD)
    cells = next(cells for title, cells in day.rows("health") if title == "Operations")
    assert cells[4] == "0"
    assert "Restated rows of the day" in day.words("health")


def test_in_the_first_month_the_message_names_the_current_one(shop: Shop) -> None:
    """And not a sync of the month before, in which there was no programme."""
    shop.sync(START)
    with pytest.raises(ReportError, match="No month has ended since 2026-") as stopped:
        make_period_report(shop.warehouse, "month", language="en")
    current = period_of("month", START)
    assert f"lcm report --month {current.name} shows" in str(stopped.value)
    assert make_period_report(shop.warehouse, "month", current, "en").is_part
