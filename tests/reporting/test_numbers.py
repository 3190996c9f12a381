"""The numbers of the page agree with what really happened in the programme."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from lcm_pipeline.reporting.reports import make_report
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.marts.golden import Golden, total
from tests.marts.worlds import Synced
from tests.reporting.reading_pages import Page, number
from tests.reporting.shops import SECOND, START, Shop

COLUMNS = {
    "Net sales": "net_sales",
    "Purchases": "purchases",
    "Buyers": "buyers",
    "New members": "new_members",
    "Total members": "members",
    "Points added": "points_added",
    "Points redeemed": "points_redeemed",
    "Points activated": "points_activated",
    "Active balance": "active_balance",
    "Pending balance": "pending_balance",
}


@pytest.fixture(scope="module")
def golden(by_chance: Synced) -> Golden:
    return by_chance.golden


@pytest.fixture(scope="module")
def days(golden: Golden) -> dict[date, dict[str, Any]]:
    return {row["day"]: row for row in golden.program_daily()}


@pytest.mark.parametrize("label", COLUMNS)
def test_a_measure_is_right_for_the_day_the_day_before_and_a_week_before(
    label: str, page_of_chance: Page, days: dict[date, dict[str, Any]], by_chance: Synced
) -> None:
    cells = page_of_chance.row("programme", label)
    shown = [number(cells[column]) for column in (0, 1, 3)]
    rows = [days[by_chance.last - timedelta(days=back)] for back in (0, 1, 7)]
    assert shown == [Decimal(str(row[COLUMNS[label]])) for row in rows]
    assert shown[0]


@pytest.mark.slow
def test_a_past_day_is_reported_as_well(
    by_chance: Synced, days: dict[date, dict[str, Any]]
) -> None:
    day = by_chance.last - timedelta(days=10)
    page = Page(make_report(by_chance.warehouse, day, "en").html)
    assert number(page.row("programme", "Net sales")[0]) == days[day]["net_sales"]
    # These marts have only the newest state, and the page says of which day it is.
    assert "As of 30 Mar 2026, not 20 Mar 2026" in page.words("clients")


def test_balances_that_were_read_later_are_marked(page_of_chance: Page) -> None:
    now, day_before, _, week_before, _ = page_of_chance.row("programme", "Active balance")
    assert not now.endswith("°")
    assert day_before.endswith("°")
    assert week_before.endswith("°")
    assert "rolled back to it using the points movements" in page_of_chance.words("programme")


def test_the_average_cheque_is_a_sum_divided_by_a_count(
    page_of_chance: Page, golden: Golden
) -> None:
    bought = golden.purchases[golden.purchases["day"] == golden.last]
    average = total(bought["amount"]) / len(bought)
    shown = number(page_of_chance.row("programme", "Average purchase")[0])
    assert shown == average.quantize(Decimal("0.01"))


def test_changes_are_relative_to_the_earlier_value(
    page_of_chance: Page, days: dict[date, dict[str, Any]], by_chance: Synced
) -> None:
    now, before = (days[by_chance.last - timedelta(days=back)]["net_sales"] for back in (0, 7))
    shown = number(page_of_chance.row("programme", "Net sales")[4])
    assert shown == (100 * (now / before - 1)).quantize(Decimal("0.1"))


def test_the_liability_is_that_of_the_day(page_of_chance: Page, golden: Golden) -> None:
    owed = total(golden.outstanding(golden.last)["remain"])
    bold = page_of_chance.section("points").xpath("./p[1]/b")
    points, value, expected = (number(b.text_content()) for b in bold)
    assert points == value == owed
    assert expected is not None
    assert abs(expected - owed * Decimal("0.8")) < Decimal("0.5")


@pytest.mark.parametrize("horizon", [7, 30, 60, 90])
def test_points_expiring_within_a_horizon_include_the_shorter_ones(
    horizon: int, page_of_chance: Page, golden: Golden
) -> None:
    soon = [row for row in golden.points_expiring() if row["days_left"] <= horizon]
    points, _, clients = page_of_chance.row("points", f"{horizon} days")
    assert number(points) == total(row["points"] for row in soon)
    assert number(clients) == len({row["client_id"] for row in soon})


@pytest.mark.slow
def test_stores_sum_up_to_the_programme(page_of_chance: Page, golden: Golden) -> None:
    sold: dict[Any, Decimal] = {}
    for row in golden.store_daily():
        if row["day"] == golden.last:
            sold[row["pos_id"]] = sold.get(row["pos_id"], Decimal(0)) + row["net_sales"]
    shown = [number(cells[0]) for _, cells in page_of_chance.rows("stores")]
    assert sorted(filter(None, shown)) == sorted(filter(None, sold.values()))


def test_segments_and_cohorts_include_every_client(page_of_chance: Page, golden: Golden) -> None:
    cells = [cells for title, cells in page_of_chance.rows("clients") if cells]
    segments = [number(row[0]) for row in cells if "₽" in "".join(row)]
    cohorts = [number(row[0]) for row in cells if "₽" not in "".join(row)]
    assert sum(filter(None, segments)) == len(golden.rfm())
    assert sum(filter(None, cohorts)) == len(golden.members)


def test_leads_and_favourites_of_the_day(page_of_chance: Page, golden: Golden) -> None:
    leads = sum(row["leads"] for row in golden.leads_daily() if row["day"] == golden.last)
    offered = {row["day"]: row["offered"] for row in golden.favourite_uptake()}[golden.last]
    assert number(page_of_chance.row("leads", "New leads")[0]) == leads > 0
    assert number(page_of_chance.row("favourites", "Offered")[0]) == offered > 0


def test_every_measure_shows_its_definition(page_of_chance: Page) -> None:
    labels = page_of_chance.section("programme").xpath(".//tbody//th/span[1]")
    assert labels
    for label in labels:
        assert label.get("title"), label.text_content()


def test_a_programme_with_few_rows_has_a_page_too(page_by_hand: Page) -> None:
    assert number(page_by_hand.row("programme", "New members")[0]) == 1
    assert number(page_by_hand.row("programme", "Purchases")[0]) == 0
    assert page_by_hand.row("programme", "Average purchase")[0] == "—"


@pytest.mark.slow
def test_a_past_day_shows_the_point_value_that_held_on_it(shop: Shop) -> None:
    """A later value of a point changes neither the money of the day nor the value shown with it."""
    shop.author.lot(shop.client, 11, "2026-03-01T10:00:00", "100.00")
    shop.sync(START)
    shop.sync(SECOND)
    with shop.warehouse.connect(autocommit=True) as session:
        session.execute(
            "update mart.parameters set point_value = 2, expected_breakage = 0.5, valid_from = %s",
            (SECOND,),
        )
    refresh_marts(shop.warehouse)
    _, then = shop.report(START)
    _, now = shop.report(SECOND)
    assert "at 1.00 ₽ per point" in then.words("points")
    assert "breakage of 20.0 %" in then.words("points")
    assert "at 2.00 ₽ per point" in now.words("points")
    assert "breakage of 50.0 %" in now.words("points")


@pytest.mark.slow
def test_the_liability_of_a_past_day_is_of_that_day_and_says_that_it_was_rolled_back(
    by_chance: Synced, golden: Golden
) -> None:
    day = by_chance.last - timedelta(days=10)
    page = Page(make_report(by_chance.warehouse, day, "en").html)
    paragraphs = page.section("points").xpath("./p")
    points = number(paragraphs[0].xpath("./b")[0].text_content())
    assert points == total(golden.outstanding(day)["remain"])
    words = " ".join(" ".join(each.text_content().split()) for each in paragraphs)
    assert "rolled back to it using the points movements" in words
    assert "newest state" not in words


@pytest.mark.slow
def test_the_expected_breakage_is_an_average_where_bonus_sources_have_their_own(
    shop: Shop,
) -> None:
    shop.author.lot(shop.client, 11, "2026-03-01T10:00:00", "300.00")
    shop.author.lot(shop.client, 12, "2026-03-01T11:00:00", "100.00", BonusSource=4)
    shop.sync(START)
    with shop.warehouse.connect(autocommit=True) as session:
        session.execute("insert into mart.source_breakage values (4, '2000-01-01', 0.9)")
    refresh_marts(shop.warehouse)
    _, page = shop.report()
    # 300 x 0.2 + 100 x 0.9 = 150 of 400.
    assert "breakage of 37.5 % on average across bonus sources — 250.00 ₽" in page.words("points")


@pytest.mark.slow
def test_points_that_refunds_gave_back_have_one_sign_in_the_bridge(shop: Shop) -> None:
    """In March refunds give back more points than purchases redeem."""
    shop.author.lot(shop.client, 11, "2026-02-01T10:00:00", "100.00")
    points = {"Redeemed": Decimal("5.00")}
    shop.author.cheque(shop.client, 301, "2026-02-10T10:00:00", "50.00", **points)
    back = {"Refund": True, "Parent": 301, **points}
    shop.author.cheque(shop.client, 302, "2026-03-01T09:30:00", "50.00", **back)
    shop.sync(START)
    _, page = shop.report()
    assert page.row("points", "Redeemed") == ["−5.00", "+5.00"]
