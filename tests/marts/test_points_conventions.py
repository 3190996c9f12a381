"""Programmes with other conventions for points: the bridge shows what really happened to each lot.

What really happened comes from the simulator, which records it in addition to the rows.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.queries import query
from tests.marts.author import Author
from tests.marts.comparing import read_mart
from tests.marts.golden import Golden, month_of
from tests.marts.life import assert_as_if_computed_anew
from tests.marts.worlds import empty_world, sync

FIRST, LAST = date(2026, 1, 20), date(2026, 3, 10)
WORLDS = {
    "oldest first": ("spending=oldest_first",),
    "newest first": ("spending=newest_first", "burns=never", "refund_points=negative"),
    "soonest first": ("spending=soonest_first", "burns=positive_added", "refund_points=positive"),
    "burns in Redeemed, blocked lots": (
        "burns=redeemed", "blocked=0.05", "bonus_redemptions=0.5", "friend_bonuses=0.1",
        "refunds_without_flag=0.3",
    ),
    "points that only cheques carry": (
        "cheque_points=0.6", "spending=soonest_first", "burns=added", "refund_points=negative",
    ),
    "merged cards, blocked lots, refunds of a part": (
        "blocked=0.05", "partial_refunds=0.4", "refund_points=negative",
    ),
}  # fmt: skip


@contextmanager
def _programme(
    *conventions: str, clients: int = 70, merged: float = 0
) -> Iterator[RunningSimulator]:
    """A programme of some clients, with no cancelled or late rows."""
    config = build_config(
        start=FIRST, now=datetime(2026, 3, 11), clients=clients, seed=5,
        habits=("cancelled=0", f"merged_daily={merged}", "late=0", "refunded=0.15",
                *(f"conventions.{one}" for one in conventions)),
    )  # fmt: skip
    with RunningSimulator(config) as simulator:
        yield simulator


def _set_spending_order(warehouse: Warehouse, order: str) -> None:
    """Set the order as a parameter, because so few clients may not show it."""
    with warehouse.connect(autocommit=True) as session:
        session.execute("update mart.parameters set spending_order = %s", (order,))
    refresh_marts(warehouse)


def _check_evidence(warehouse: Warehouse, golden: Golden) -> None:
    """Check that the counts are those of the programme; the sample has all of its clients."""
    found = {row["convention"]: row for row in read_mart(warehouse, "conventions")}
    for convention, counts in golden.conventions().items():
        said = re.findall(r"\d+", found[convention]["evidence"])
        assert list(map(int, said)) == counts, (convention, found[convention]["evidence"])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", WORLDS)
def test_each_month_is_what_really_happened(
    name: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    """One reading at the end is enough: without cancelled cheques the rows show everything."""
    merged = 0.003 if "merged" in name else 0
    with _programme(*WORLDS[name], merged=merged) as simulator:
        sync(simulator, warehouse, tmp_path, FIRST, LAST)
        orders = {"newest_first": "newest_first", "soonest_first": "soonest_to_expire"}
        order = [orders[one] for one in orders if f"spending={one}" in WORLDS[name]]
        _set_spending_order(warehouse, order[0] if order else "oldest_first")
        programme = simulator.world.programme
        golden = Golden(simulator.world.truth(), LAST, programme.flows)
    _check_evidence(warehouse, golden)
    truth = golden.points()
    owed = {row["day"]: row["as_known_now"] for row in read_mart(warehouse, "points_owed")}
    balance = Decimal(0)
    for month in sorted(read_mart(warehouse, "points_bridge_monthly"), key=lambda m: m["month"]):
        first = month["month"]
        shown = (month["added"], month["redeemed"], month["expired"], month["clawed_back"])
        assert shown == (
            truth[first, "added"],
            -truth.get((first, "redeemed"), Decimal(0)),
            -truth.get((first, "expired"), Decimal(0)),
            -truth.get((first, "clawed_back"), Decimal(0)),
        )
        assert (month["corrections"], month["residual"]) == (0, 0)
        balance += sum(points for (there, _), points in truth.items() if there == first)
        assert month["closing"] == balance
        last = min(month_of(first + timedelta(31)) - timedelta(1), LAST)
        assert owed[last] == balance


@pytest.mark.slow
def test_partial_refunds_that_give_points_back_are_within_half_a_percent(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """No row shows what a refund gave back to a lot that has ended since."""
    with _programme(
        "refund_points=positive", "refund_gives_back=true", "partial_refunds=0.5", clients=160
    ) as simulator:
        sync(simulator, warehouse, tmp_path, FIRST, LAST)
        _set_spending_order(warehouse, "oldest_first")
        golden = Golden(simulator.world.truth(), LAST, simulator.world.programme.flows)
    truth = golden.points()
    months = read_mart(warehouse, "points_bridge_monthly")
    for month in months:
        for kind in ("redeemed", "clawed_back"):
            assert month[kind] == -truth.get((month["month"], kind), Decimal(0))
    expired = -sum(points for (_, kind), points in truth.items() if kind == "expired")
    added = sum(month["added"] for month in months)
    assert abs(sum(month["expired"] for month in months) - expired) <= added * Decimal("0.005")
    assert sum(abs(month["residual"]) for month in months) <= added * Decimal("0.005")


@pytest.mark.slow
def test_merges_cancels_and_blocked_lots_close_within_half_a_percent(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """No row shows the cheques that were added and cancelled between two readings."""
    config = build_config(
        start=FIRST, now=datetime(2026, 1, 24), clients=70, seed=5,
        habits=("cancelled=0.03", "merged_daily=0.003", "late=0", "refunded=0.15",
                "conventions.blocked=0.05", "conventions.partial_refunds=0.4",
                "conventions.refund_points=negative"),
    )  # fmt: skip
    with RunningSimulator(config) as simulator:
        for last in (
            date(2026, 1, 23),
            date(2026, 1, 31),
            date(2026, 2, 15),
            date(2026, 2, 28),
            LAST,
        ):
            simulator.world.advance(datetime(last.year, last.month, last.day) + timedelta(days=1))
            sync(simulator, warehouse, tmp_path, FIRST, last)
        _set_spending_order(warehouse, "oldest_first")
        truth = Golden(simulator.world.truth(), LAST, simulator.world.programme.flows).points()
    balance = Decimal(0)
    for month in sorted(read_mart(warehouse, "points_bridge_monthly"), key=lambda m: m["month"]):
        first, limit = month["month"], month["added"] * Decimal("0.005")
        balance += sum(points for (there, _), points in truth.items() if there == first)
        assert month["added"] == truth[first, "added"]
        assert abs(month["expired"] + truth.get((first, "expired"), Decimal(0))) <= limit
        assert abs(month["residual"]) <= limit
        assert abs(month["closing"] - balance) <= limit


@pytest.mark.slow
def test_a_programme_shows_its_spending_order(warehouse: Warehouse, tmp_path: Path) -> None:
    config = build_config(
        start=FIRST, now=datetime(2026, 3, 11), clients=160, seed=11,
        habits=("cancelled=0", "late=0", "conventions.spending=newest_first"),
    )  # fmt: skip
    with RunningSimulator(config) as simulator:
        sync(simulator, warehouse, tmp_path, FIRST, LAST)
    found = {row["convention"]: row for row in read_mart(warehouse, "conventions")}
    order = found["spending_order"]
    assert (order["used"], order["source"]) == (order["detected"], "detected")
    assert order["used"] == "newest_first"


START, THEN, NOW = date(2026, 3, 1), date(2026, 3, 31), date(2026, 4, 30)


@pytest.mark.slow
def test_a_cheque_of_two_clients_and_a_friends_bonus_are_one_purchase(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with empty_world(START, datetime(2026, 3, 11)) as simulator:
        author = Author(simulator)
        buyer = author.client(1, "2026-03-01T01:00:00", [{"Card": 1}])
        friend = author.client(2, "2026-03-01T01:00:00", [{"Card": 2}])
        merged = author.client(3, "2026-03-01T01:00:00", [{"Card": 3}])
        for client in (buyer, merged):
            author.cheque(client, 501, "2026-03-02T10:00:00", "100.00")
        author.lot(friend, 502, "2026-03-02T10:00:00", "5.00", ChequeId=501, BonusSource=8)
        author.lot(friend, 503, "2026-03-02T10:00:00", "5.00", ChequeId=999, BonusSource=8)
        author.cheque(buyer, 504, "2026-03-03T10:00:00", "-30.00", Refund=None)
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 10))
        cheques = {row["cheque_id"]: row for row in read_mart(warehouse, "cheques")}
        assert set(cheques) == {501, 504}
        assert cheques[501]["client_id"] == 1
        assert (cheques[504]["is_refund"], cheques[504]["is_doubtful"]) == (True, True)
        with warehouse.connect() as session:
            live = "select cheque_id, client_id, is_refund, net_amount from core_live.cheques"
            found = session.execute(f"{live} order by 1".encode()).fetchall()
        assert found == [(501, 1, False, 100), (504, 1, True, -30)]
        clients = {row["client_id"]: row for row in read_mart(warehouse, "client_360")}
        assert [clients[number]["purchases"] for number in (1, 2, 3)] == [1, 0, 0]
        assert (clients[1]["refunds"], clients[1]["net_sales"]) == (1, 70)
        # Once the first client has lost the cheque, it counts for the other one.
        buyer.operations.remove(next(iter(buyer.operations)))
        simulator.world.advance(datetime(2026, 3, 12))
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 11))
        cheques = {row["cheque_id"]: row for row in read_mart(warehouse, "cheques")}
        assert cheques[501]["client_id"] == 3


def test_a_partial_refund_takes_back_a_part_of_the_points(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with empty_world(START, datetime(2026, 4, 1)) as simulator:
        author = Author(simulator)
        client = author.client(1001, "2026-03-01T01:00:00", [{"Card": 1}])
        author.cheque(client, 1, "2026-03-05T12:00:00", "1000.00", Added=Decimal(50))
        lot = author.lot(client, 11, "2026-03-05T12:00:00", "50.00", ChequeId=1,
                         starts="2026-03-05T12:00:00", ends="2026-12-31T00:00:00")  # fmt: skip
        sync(simulator, warehouse, tmp_path, START, THEN)
        simulator.world.advance(datetime(2026, 5, 1))
        author.cheque(client, 2, "2026-04-05T12:00:00", "-400.00", Refund=True, Parent=1,
                      Added=Decimal(-20))  # fmt: skip
        lot.row["Remain"] = Decimal("30.00")
        sync(simulator, warehouse, tmp_path, START, NOW)
    march, april = sorted(
        read_mart(warehouse, "points_bridge_monthly"), key=lambda month: month["month"]
    )
    assert (march["closing"], april["clawed_back"]) == (50, 20)
    assert (april["residual"], april["closing"]) == (0, 30)
    assert sum(row["points_clawed_back"] for row in read_mart(warehouse, "refunds")) == 20


def test_a_cancelled_order_returns_the_spent_points(warehouse: Warehouse, tmp_path: Path) -> None:
    with empty_world(START, datetime(2026, 4, 1)) as simulator:
        author = Author(simulator)
        client = author.client(1001, "2026-03-01T01:00:00", [{"Card": 1}])
        welcome = author.lot(client, 11, "2026-03-01T12:00:00", "50.00", BonusSource=4,
                             starts="2026-03-01T12:00:00", ends="2026-12-31T00:00:00",
                             Remain=Decimal("0.00"))  # fmt: skip
        order = [
            author.cheque(client, 1, "2026-03-05T12:00:00", "500.00", Added=Decimal(21),
                          Redeemed=Decimal(50)),
            author.lot(client, 12, "2026-03-05T12:00:00", "21.00", ChequeId=1,
                       starts="2026-03-05T12:00:00", ends="2026-12-31T00:00:00"),
        ]  # fmt: skip
        sync(simulator, warehouse, tmp_path, START, THEN)
        for entry in order:
            client.operations.remove(entry)
        welcome.row["Remain"] = Decimal("50.00")
        simulator.world.advance(datetime(2026, 5, 1))
        sync(simulator, warehouse, tmp_path, START, NOW)
    months = sorted(read_mart(warehouse, "points_bridge_monthly"), key=lambda one: one["month"])
    assert [(m["closing"], m["corrections"], m["residual"]) for m in months] == [(50, 0, 0)] * 2


@pytest.mark.slow
def test_checks_of_the_marts_report_what_is_doubtful(warehouse: Warehouse, tmp_path: Path) -> None:
    with empty_world(START, datetime(2026, 3, 11)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-03-01T01:00:00", [{"Card": 1}])
        author.lot(client, 2, "2026-03-02T10:00:00", "100.00", Remain=Decimal("40.00"))
        author.cheque(client, 501, "2026-03-03T10:00:00", "-30.00", Refund=None)
        author.lead(client, 41, "2026-03-05T20:00:00", LeadStatusName="Открыто")
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 10))
    with warehouse.connect() as session:
        found = {name: count for name, count, _ in session.execute(query("mart_checks"))}
        said = {name: text for name, _, text in session.execute(query("mart_checks"))}
    assert found == {
        "residual_is_small": 1, "rollforward_adds_up": 0, "closed_months_stay": 0,
        "no_negative_balances": 0, "points_have_lots": 0, "burns_are_known": 0,
        "cheque_points_are_known": 0, "refund_points_are_known": 1,
        "bonus_redemptions_are_known": 0, "no_doubtful_refunds": 1, "spending_order_is_known": 1,
        "lead_statuses_are_mapped": 1, "parameters_are_heeded": 0,
    }  # fmt: skip
    assert said["lead_statuses_are_mapped"].endswith(": Открыто")
    assert said["refund_points_are_known"].endswith("Refunds of an unknown purchase: 1")
    (lead,) = read_mart(warehouse, "leads_sla")
    assert (lead["first_change_sla"], lead["closing_sla"]) == (None, None)


@pytest.mark.slow
def test_a_parameter_overrules_how_rows_are_interpreted(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with empty_world(START, datetime(2026, 3, 11)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-03-01T01:00:00", [{"Card": 1}])
        author.lot(client, 2, "2026-03-02T10:00:00", "100.00", Remain=Decimal(92))
        author.cheque(client, 501, "2026-03-03T10:00:00", "90.00", Added=Decimal(9))
        author.cheque(client, 502, "2026-03-04T10:00:00", "50.00", Redeemed=Decimal(20))
        author.cheque(client, 503, "2026-03-05T10:00:00", "50.00", Refund=True, Parent=502,
                      Redeemed=Decimal(15))  # fmt: skip
        author.lot(client, 504, "2026-03-06T10:00:00", "0.00", Redeemed=Decimal(3), BonusSource=2)
        author.cheque(client, 505, "2026-03-07T10:00:00", "-30.00", Refund=None)
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 10))

    def _figures() -> tuple[Decimal, ...]:
        (month,) = read_mart(warehouse, "points_bridge_monthly")
        cheques = read_mart(warehouse, "cheques")
        alone = [
            row["points"]
            for row in read_mart(warehouse, "points_movements")
            if (row["kind"], row["movement_date"]) == ("redeemed", date(2026, 3, 6))
        ]
        return (
            month["added"],
            sum(cheque["redeemed"] for cheque in cheques),
            sum(alone),
            sum(cheque["is_refund"] for cheque in cheques),
        )

    assert _figures() == (109, 5, -3, 2)
    with warehouse.connect() as session:
        said = {name: text for name, _, text in session.execute(query("mart_checks"))}
    shown = said["cheque_points_are_known"]
    assert (
        "alone telling of their points: 1); what cheques alone tell is given (the default" in shown
    )
    assert "Of 109.00 points given lately, 9.00 are told by cheques alone" in shown
    assert said["bonus_redemptions_are_known"].endswith("Such rows lately: 1")
    for name, figures in (
        ("cheque_points_count", (100, 5, -3, 2)),
        ("refunds_give_back", (100, 20, -3, 2)),
        ("bonus_redemptions_count", (100, 20, 0, 2)),
        ("negative_is_refund", (100, 20, 0, 1)),
    ):
        with warehouse.connect(autocommit=True) as session:
            session.execute(f"update mart.parameters set {name} = false".encode())
        refresh_marts(warehouse)
        assert _figures() == figures, name


@pytest.mark.slow
def test_silent_refunds_give_back_as_set_or_as_the_lots_of_each_client_show(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Nobody tells what remains of the points of the first client; the second got them back."""
    with empty_world(START, datetime(2026, 3, 11)) as simulator:
        author = Author(simulator)
        told_by_cheque, told = (
            author.client(number, "2026-03-01T01:00:00", [{"Card": number}]) for number in (1, 2)
        )
        author.cheque(told_by_cheque, 501, "2026-03-03T10:00:00", "900.00", Added=Decimal(100))
        author.lot(told, 601, "2026-03-03T10:00:00", "100.00", Remain=Decimal(100))
        for client, number in ((told_by_cheque, 502), (told, 602)):
            author.cheque(client, number, "2026-03-04T10:00:00", "50.00", Redeemed=Decimal(20))
            author.cheque(client, number + 1, "2026-03-06T10:00:00", "50.00", Refund=True,
                          Parent=number)  # fmt: skip
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 10))
    for is_set, redeemed, residual, closing in (
        (None, 20, 0, 180),
        (True, 0, 0, 200),
        (False, 40, 20, 180),
    ):
        with warehouse.connect(autocommit=True) as session:
            session.execute("update mart.parameters set silent_refunds_give_back = %s", (is_set,))
        refresh_marts(warehouse)
        (month,) = read_mart(warehouse, "points_bridge_monthly")
        assert (month["redeemed"], month["residual"], month["closing"]) == (
            redeemed, residual, closing,
        ), is_set  # fmt: skip
    assert_as_if_computed_anew(warehouse, "with a set convention")


def test_a_lot_whose_end_is_told_by_the_day_can_be_used_on_that_day(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with empty_world(START, datetime(2026, 3, 11)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-03-01T01:00:00", [{"Card": 1}])
        for number, ends in ((11, None), (12, "2026-03-08T00:00:00")):
            author.lot(client, number, "2026-03-02T10:00:00", "100.00", ends=ends,
                       Remain=Decimal(0))  # fmt: skip
        author.cheque(client, 501, "2026-03-08T10:00:00", "200.00", Redeemed=Decimal(100))
        author.cheque(client, 502, "2026-03-09T10:00:00", "200.00", Redeemed=Decimal(100))
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 10))
    (month,) = read_mart(warehouse, "points_bridge_monthly")
    assert (month["redeemed"], month["expired"], month["residual"]) == (200, 0, 0)
