"""Points in money: roll-forward, deferred revenue and breakage, compared with plain arithmetic."""

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from tests.marts.author import Author
from tests.marts.comparing import read_mart
from tests.marts.golden import ZERO, Golden, month_end, month_of, total
from tests.marts.worlds import Synced, edit, empty_world, sync

CENT = Decimal("0.01")
SIGNS = {
    "issued": 1, "redeemed": -1, "expired": -1, "clawed_back": -1, "corrections": 1, "residual": 1,
    "re_estimated": 1, "rounding": 1,
}  # fmt: skip
KINDS = {
    "added": "issued", "redeemed": "redeemed", "expired": "expired", "clawed_back": "clawed_back",
    "corrected": "corrections", "unexplained": "residual",
}  # fmt: skip


def _months(warehouse: Warehouse, name: str) -> list[dict[str, Any]]:
    return sorted(read_mart(warehouse, name), key=lambda row: row["month"])


def _assert_adds_up(months: list[dict[str, Any]], warehouse: Warehouse) -> None:
    """The roll-forward adds up to the cent, and closes with the liability of the last day."""
    owed: dict[date, Decimal] = defaultdict(Decimal)
    for row in read_mart(warehouse, "points_liability_daily"):
        owed[row["day"]] += row["expected_value"]
    opening, deferred = ZERO, ZERO
    for month in months:
        assert (month["opening"], month["deferred_opening"]) == (opening, deferred)
        change = sum(sign * month[name] for name, sign in SIGNS.items())
        assert month["opening"] + change == month["closing"]
        assert (
            month["deferred_opening"]
            + month["deferred_issued"]
            - month["deferred_clawed_back"]
            - month["revenue_recognised"]
            == month["deferred_closing"]
        )
        opening, deferred = month["closing"], month["deferred_closing"]
        assert month["closing"] == owed[min(month_end(month["month"]), max(owed))]


def test_the_roll_forward_is_the_money_value_of_what_really_happened(synced: Synced) -> None:
    """A point is worth 1, and a fifth is expected to break."""
    golden = synced.golden
    months = _months(synced.warehouse, "points_rollforward_monthly")
    _assert_adds_up(months, synced.warehouse)
    points = golden.points()
    for month in months:
        for kind, name in KINDS.items():
            sign = 1 if SIGNS[name] > 0 else -1
            moved = sign * points.get((month["month"], kind), ZERO)
            assert abs(month[name] - moved * Decimal("0.8")) <= CENT, (month["month"], name)
        day = min(month_end(month["month"]), golden.last)
        left = total(golden.outstanding(day)["remain"])
        # Each row of the liability is rounded on its own.
        assert abs(month["closing"] - left * Decimal("0.8")) < Decimal("0.5")
        assert abs(month["rounding"]) < Decimal("0.5")
        assert (month["outstanding_value"], month["re_estimated"]) == (left, 0)
        assert month["is_whole_month"] == (month_end(month["month"]) <= golden.last)
        given, back, closing = _deferred(golden, day)
        assert abs(month["deferred_closing"] - closing) <= CENT
        before = sum(m["deferred_issued"] for m in months if m["month"] <= month["month"])
        assert abs(before - given) < Decimal("0.05")
        clawed = sum(m["deferred_clawed_back"] for m in months if m["month"] <= month["month"])
        assert abs(clawed - back) < Decimal("0.05")
    assert any(month["revenue_recognised"] > 0 for month in months)


def _deferred(golden: Golden, day: date) -> tuple[Decimal, Decimal, Decimal]:
    """Money deferred by a day, the part lost with refunds, and what is still deferred then."""
    paid = {
        row["cheque"]: row["amount"] - row["redeemed"]
        for row in golden.cheques.to_dict("records")
        if not row["refund"]
    }
    lots = [lot for lot in golden.lots.to_dict("records") if paid.get(lot["cheque"], ZERO) > 0]
    given_for: dict[Any, Fraction] = defaultdict(Fraction)
    for lot in lots:
        given_for[lot["cheque"]] += Fraction(lot["added"]) * Fraction(4, 5)
    moved: dict[Any, dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for row in golden.moved.to_dict("records"):
        if row["day"] <= day:
            moved[row["lot"]][row["kind"]] += Fraction(row["points"])
    cohorts: dict[Any, list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
    given, back = Fraction(0), Fraction(0)
    for lot in lots:
        if lot["day"] > day:
            continue
        price = Fraction(paid[lot["cheque"]])
        of_point = price * Fraction(4, 5) / (price + given_for[lot["cheque"]])
        kinds = moved[lot["lot"]]
        given += of_point * Fraction(lot["added"])
        back -= of_point * kinds["clawed_back"]
        money, redeemed, left = cohorts[month_of(lot["day"]), lot["source"]]
        cohorts[month_of(lot["day"]), lot["source"]] = [
            money + of_point * (Fraction(lot["added"]) + kinds["clawed_back"]),
            redeemed - kinds["redeemed"],
            left + sum(kinds.values()),
        ]
    closing = sum(
        (
            money * left * Fraction(4, 5) / (redeemed + left * Fraction(4, 5))
            for money, redeemed, left in cohorts.values()
            if left > 0
        ),
        Fraction(0),
    )
    given, back, closing = (round(value, 6) for value in (given, back, closing))
    return Decimal(float(given)), Decimal(float(back)), Decimal(float(closing))


@pytest.mark.slow
def test_an_edit_of_value_and_breakage_is_a_re_estimate_of_its_month(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with empty_world(date(2026, 1, 1), datetime(2026, 3, 31)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-01-01T01:00:00", [{"Card": 1}])
        author.lot(client, 11, "2026-01-05T12:00:00", "100.00", BonusSource=4)
        author.lot(client, 12, "2026-02-20T12:00:00", "50.00", BonusSource=2)
        sync(simulator, warehouse, tmp_path, date(2026, 1, 1), date(2026, 3, 30))
    before = _months(warehouse, "points_rollforward_monthly")
    assert [month["closing"] for month in before] == [80, 120, 120]
    edit(
        warehouse,
        "update mart.parameters set point_value = 2, expected_breakage = 0.5,"
        " valid_from = '2026-02-10'",
        "insert into mart.source_breakage values (4, '2026-03-05', 0.1)",
    )
    months = _months(warehouse, "points_rollforward_monthly")
    _assert_adds_up(months, warehouse)
    assert months[0] == before[0]
    # 100 points: from 1 x 0.8 to 2 x 0.5, then to 2 x 0.9.
    assert [month["re_estimated"] for month in months] == [0, 20, 80]
    assert [month["issued"] for month in months] == [80, 50, 0]
    assert [month["closing"] for month in months] == [80, 150, 230]
    assert [month["rounding"] for month in months] == [0, 0, 0]


def test_revenue_is_deferred_as_in_example_52_of_the_standard(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """IFRS 15, IE267 to IE270: 100,000 paid, 10,000 points worth 9,500; months stand for years."""
    with empty_world(date(2026, 1, 1), datetime(2026, 3, 3)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-01-01T01:00:00", [{"Card": 1}])
        author.cheque(client, 1, "2026-01-05T12:00:00", "100000.00", Added=Decimal(10_000))
        author.lot(client, 11, "2026-01-05T12:00:00", "10000.00", ChequeId=1,
                   Remain=Decimal("1500.00"))  # fmt: skip
        for number, day, points in ((2, "2026-01-20", 4500), (3, "2026-02-10", 4000)):
            author.cheque(client, number, f"{day}T12:00:00", "9000.00", Redeemed=Decimal(points))
        sync(simulator, warehouse, tmp_path, date(2026, 1, 1), date(2026, 3, 2))
    # 9,500 are expected to be redeemed: 5,000 of the 5,500 left. Then 9,700: 1,200 of 1,500.
    edit(
        warehouse,
        "update mart.parameters set expected_breakage = 0.05",
        "update mart.parameters set expected_breakage = 0.0909, valid_from = '2026-01-31'",
        "update mart.parameters set expected_breakage = 0.2, valid_from = '2026-02-28'",
    )
    january, february, _ = _months(warehouse, "points_rollforward_monthly")
    assert january["deferred_issued"] == Decimal("8675.80")
    assert abs(january["revenue_recognised"] - 4110) < 1
    assert abs(february["revenue_recognised"] - 3493) < 1
    assert abs(february["deferred_closing"] - 1073) < 1


def test_breakage_of_an_issue_month_follows_the_months_before_it(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Points are valid for two months; some are redeemed in the next month, and 40 never expire."""
    given = {1: 100, 2: 200, 3: 150, 4: 300, 5: 250}
    spent = {1: 30, 2: 80, 3: 50, 4: 90}
    with empty_world(date(2026, 1, 1), datetime(2026, 6, 2)) as simulator:
        author = Author(simulator)
        for month, points in given.items():
            client = author.client(month, f"2026-0{month}-01T01:00:00", [{"Card": month}])
            left = Decimal(points - spent.get(month, 0)) if month > 3 else Decimal(0)
            author.lot(client, 10 + month, f"2026-0{month}-05T12:00:00", f"{points}.00",
                       ends=f"2026-0{month + 2}-20T00:00:00", Remain=left)  # fmt: skip
            if month in spent:
                author.cheque(client, month, f"2026-0{month + 1}-10T12:00:00", "500.00",
                              Redeemed=Decimal(spent[month]))  # fmt: skip
        author.lot(author.client(9, "2026-01-01T01:00:00", [{"Card": 9}]), 99,
                   "2026-01-07T12:00:00", "40.00")  # fmt: skip
        sync(simulator, warehouse, tmp_path, date(2026, 1, 1), date(2026, 6, 1))

    # Open and expired points of each issue month at each age.
    seen: dict[int, list[tuple[int, int]]] = {}
    for month, points in given.items():
        rest, forever = points - spent.get(month, 0), 40 if month == 1 else 0
        ages = [(points, 0), (rest, 0), (0, rest), (0, rest), (0, rest)][: 6 - month]
        seen[month] = [(open_points + forever, expired) for open_points, expired in ages]
    expected = {}
    for month, ages in seen.items():
        left, leaving = Fraction(ages[-1][0]), Fraction(0)
        for age in range(len(ages), 5):
            pairs = [(a[age - 1], a[age]) for a in seen.values() if len(a) > age]
            base = sum(before[0] for before, _ in pairs)
            leaving += left * Fraction(sum(now[1] - was[1] for was, now in pairs), base)
            left *= Fraction(sum(now[0] for _, now in pairs), base)
        expected[month] = (ages[-1][1], ages[-1][0], left, leaving + left / 5)

    rows = {row["issue_month"].month: row for row in read_mart(warehouse, "points_breakage")}
    assert rows.keys() == given.keys()
    for month, (expired, left, undeveloped, to_expire) in expected.items():
        row, issued = rows[month], given[month] + (40 if month == 1 else 0)
        assert (row["issued"], row["expired"], row["open_points"]) == (issued, expired, left)
        assert row["as_of_date"] == date(2026, 5, 31)
        for name, value in (
            ("undeveloped_points", undeveloped), ("expected_to_expire", to_expire),
            ("expected_points", left - to_expire), ("expected_value", left - to_expire),
            ("flat_expected_value", Fraction(left) * 4 / 5),
        ):  # fmt: skip
            assert abs(Fraction(row[name]) - value) <= Fraction(1, 200), (month, name)
        assert abs(Fraction(row["breakage_rate"]) - (expired + to_expire) / issued) < 0.0001
        assert row["flat_breakage"] == Decimal("0.2")
    assert rows[5]["undeveloped_points"] > 0
    assert rows[5]["expected_to_expire"] > rows[5]["open_points"] * Decimal("0.5")


def test_the_flat_rate_of_an_issue_month_is_that_of_its_points_in_the_liability(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with empty_world(date(2026, 1, 1), datetime(2026, 4, 2)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-01-01T01:00:00", [{"Card": 1}])
        author.lot(client, 11, "2026-01-05T12:00:00", "100.00", BonusSource=1)
        author.lot(client, 12, "2026-01-20T12:00:00", "300.00", BonusSource=4)
        author.lot(client, 13, "2026-02-20T12:00:00", "50.00", BonusSource=4)
        author.lot(client, 14, "2026-03-20T12:00:00", "70.00", BonusSource=1,
                   ends="2026-03-25T00:00:00", Remain=Decimal(0))  # fmt: skip
        sync(simulator, warehouse, tmp_path, date(2026, 1, 1), date(2026, 4, 1))
    edit(
        warehouse,
        "update mart.parameters set point_value = 2",
        "insert into mart.source_breakage values (4, '2026-02-01', 0.6), (4, '2026-04-01', 0.9)",
    )
    rows = {row["issue_month"].month: row for row in read_mart(warehouse, "points_breakage")}
    # 100 points break at 0.2 and 300 at 0.6, the rate of the last day of March.
    assert {month: row["flat_breakage"] for month, row in rows.items()} == {
        1: Decimal("0.5"), 2: Decimal("0.6"), 3: Decimal("0.2"),
    }  # fmt: skip
    # Nothing of January or February ever left, and no month is older than January.
    assert (rows[1]["undeveloped_points"], rows[1]["expected_to_expire"]) == (400, 200)
    assert (rows[2]["undeveloped_points"], rows[2]["expected_to_expire"]) == (50, 30)
    owed = sum(
        row["expected_value"]
        for row in read_mart(warehouse, "points_liability_daily")
        if row["day"] == date(2026, 3, 31)
    )
    assert sum(row["flat_expected_value"] for row in rows.values()) == owed == 440
