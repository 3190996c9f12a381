"""The results for the hand-made programme, computed on paper."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from tests.marts.comparing import read_mart
from tests.marts.worlds import Synced

FEBRUARY, MARCH, LAST = date(2026, 2, 1), date(2026, 3, 1), date(2026, 3, 10)


def test_the_bridge_of_february_and_march(by_hand: Synced) -> None:
    months = _by(read_mart(by_hand.warehouse, "points_bridge_monthly"), "month")
    assert set(months) == {FEBRUARY, MARCH}
    assert _points(months[FEBRUARY]) == {
        "opening": 0, "added": 205, "redeemed": 0, "expired": 0, "clawed_back": 0,
        "corrections": -40, "residual": 0, "closing": 165,
    }  # fmt: skip
    assert _points(months[MARCH]) == {
        "opening": 165, "added": Decimal("24.34"), "redeemed": 30, "expired": 35,
        "clawed_back": 40, "corrections": 0, "residual": 0, "closing": Decimal("84.34"),
    }  # fmt: skip


def test_points_expire_on_the_day_of_their_expiry(by_hand: Synced) -> None:
    """A lot that ends at noon is gone at the end of that day; midnight belongs to the new day."""
    days = _by(read_mart(by_hand.warehouse, "program_daily"), "day")
    assert {day: row["points_expired"] for day, row in days.items() if row["points_expired"]} == {
        date(2026, 3, 5): 15,
        LAST: 20,
    }
    expiring = read_mart(by_hand.warehouse, "points_expiring")
    assert {(r["client_id"], r["expiry_date"], r["days_left"], r["points"]) for r in expiring} == {
        (1001, date(2026, 3, 11), 1, Decimal("12.34")),
        (1002, date(2026, 4, 9), 30, Decimal("60.00")),
    }


def test_a_refund_of_either_sign_reduces_the_sales(by_hand: Synced) -> None:
    rows = read_mart(by_hand.warehouse, "refunds")
    actual = {
        (row["day"], row["pos_id"]): (row["refund_amount"], row["points_clawed_back"])
        for row in rows
        if row["refunds"]
    }
    assert actual == {(date(2026, 3, 2), 101): (800, 40), (date(2026, 3, 3), 204): (250, 0)}
    sales = {row["day"]: row["net_sales"] for row in read_mart(by_hand.warehouse, "program_daily")}
    assert sales[date(2026, 3, 2)] == -550
    assert sales[date(2026, 3, 3)] == -250


def test_a_cheque_counts_once_however_many_rows_have_its_number(by_hand: Synced) -> None:
    cheques = read_mart(by_hand.warehouse, "cheques")
    actual = [
        (row["client_id"], row["cheque_id"], row["day"], row["amount"])
        for row in cheques
        if row["cheque_id"] in (501, 507, 510, 520)
    ]
    assert sorted(actual) == [
        (1001, 501, date(2026, 2, 28), 1000),
        (1002, 507, date(2026, 3, 4), 0),
        (1003, 510, date(2026, 2, 14), 500),
        (1004, 520, date(2026, 2, 14), 500),
    ]


def test_days_begin_at_midnight_in_moscow(by_hand: Synced) -> None:
    enrolled = _by(read_mart(by_hand.warehouse, "members"), "client_id")
    assert enrolled[1001]["registration_date"] == date(2026, 1, 31)
    assert enrolled[1002]["registration_date"] == FEBRUARY
    cohorts = {
        (row["cohort_month"], row["month_number"]): row["members"]
        for row in read_mart(by_hand.warehouse, "cohort_retention")
    }
    assert cohorts == {
        (date(2026, 1, 1), 0): 1, (date(2026, 1, 1), 1): 1, (date(2026, 1, 1), 2): 1,
        (FEBRUARY, 0): 3, (FEBRUARY, 1): 3, (MARCH, 0): 1,
    }  # fmt: skip


def test_twins_have_the_same_scores_and_segment(by_hand: Synced) -> None:
    rows = _by(read_mart(by_hand.warehouse, "rfm"), "client_id")
    scores = ("recency_score", "frequency_score", "monetary_score", "segment")
    assert [rows[1003][name] for name in scores] == [rows[1004][name] for name in scores]
    assert rows[1003]["segment"] is not None
    assert 1005 not in rows


def test_every_score_has_a_segment(by_hand: Synced) -> None:
    with by_hand.warehouse.connect() as session:
        bare = session.execute(
            "select r, f, m from generate_series(1, 5) r, generate_series(1, 5) f,"
            " generate_series(1, 5) m where not exists (select from mart.rfm_segments"
            " where r between recency_from and recency_to"
            " and f between frequency_from and frequency_to"
            " and m between monetary_from and monetary_to)"
        ).fetchall()
    assert bare == []


def test_the_vintage_of_february_adds_up(by_hand: Synced) -> None:
    rows = {
        (row["issue_month"], row["age_months"]): row
        for row in read_mart(by_hand.warehouse, "points_vintage")
    }
    grown = rows[FEBRUARY, 1]
    names = ("issued", "redeemed", "expired", "clawed_back", "open_points", "matured")
    # 30 points redeemed on a cheque, and 40 that an operator took away.
    assert [grown[name] for name in names] == [205, 70, 35, 40, 60, 65]
    assert grown["breakage_rate"] == Decimal("0.5385")
    assert rows[MARCH, 0]["breakage_rate"] is None


def test_a_lead_that_had_changed_before_its_first_reading_is_judged_by_its_creation(
    by_hand: Synced,
) -> None:
    leads = _by(read_mart(by_hand.warehouse, "leads_sla"), "lead_id")
    skipped = leads[41]
    assert skipped["first_change_after"] == skipped["closed_after"] == skipped["created_at"]
    assert skipped["first_change_by"] == skipped["closed_by"]
    assert skipped["first_change_sla"] == "unknown"
    assert not skipped["is_open"]
    assert skipped["age_days"] is None
    ages = {number: (leads[number]["age_days"], leads[number]["age_bucket"]) for number in (42, 44)}
    assert ages == {42: (1, "0-1"), 44: (0, "0-1")}
    assert leads[43]["is_open"]
    assert leads[43]["first_change_by"] is None


def test_slots_are_unknown_before_the_first_reading(by_hand: Synced) -> None:
    """The numbers are those of the last day of the window; the first offer was made before it."""
    rows = _by(read_mart(by_hand.warehouse, "favourite_uptake"), "day")
    names = ("slots_used", "slots", "slots_used_share")
    known = {day: [row[name] for name in names] for day, row in rows.items()}
    assert None not in known.pop(LAST)
    assert len(known) == 11
    assert list(known.values()) == [[None] * 3] * 11


def _by(rows: Iterable[dict[str, Any]], name: str) -> dict[Any, dict[str, Any]]:
    return {row[name]: row for row in rows}


def _points(month: dict[str, Any]) -> dict[str, Any]:
    return {name: month[name] for name in month if name not in ("month", "is_whole_month")}
