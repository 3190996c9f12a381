"""What rows are taken for where no field says: shown by the rows, or set by a parameter."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lcm_pipeline.cli.status_output import print_status
from lcm_pipeline.reporting.reports import make_report
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.status import read_status
from tests.marts.author import Author
from tests.marts.comparing import read_mart
from tests.marts.life import assert_as_if_computed_anew
from tests.marts.worlds import empty_world, sync
from tests.reporting.reading_pages import Page

START, LAST, NOON = date(2026, 3, 1), date(2026, 3, 10), "2026-03-05T12:00:00"
CLIENTS = 22


def _write(author: Author, is_as_usual: bool) -> None:
    """Clients of five kinds; what their lots lost shows what the rows in question did."""
    for number in range(1, CLIENTS + 1):
        clients = [
            author.client(kind * 100 + number, "2026-03-01T01:00:00",
                          [{"Card": kind * 100 + number}])
            for kind in range(5)
        ]  # fmt: skip
        first = 10_000 + 100 * number
        for kind, left in enumerate(("95", "77", "80")):
            author.lot(clients[kind], first + kind, "2026-03-02T10:00:00", "100.00",
                       Remain=Decimal(left if is_as_usual else "80"))  # fmt: skip
            author.cheque(clients[kind], first + 10 + kind, "2026-03-04T10:00:00", "50.00",
                          Redeemed=Decimal(20))  # fmt: skip
        # A refund with points in Redeemed, which may have come back.
        author.cheque(clients[0], first + 20, NOON, "50.00", Refund=True, Parent=first + 10,
                      Redeemed=Decimal(15))  # fmt: skip
        # A bonus row with points in Redeemed, which may have been taken.
        author.lot(clients[1], first + 21, NOON, "0.00", Redeemed=Decimal(3), BonusSource=2)
        # Points of a cheque that no bonus row names; a gift of as many may be the same points.
        author.cheque(clients[2], first + 22, NOON, "70.00", Added=Decimal(7))
        if not is_as_usual:
            author.lot(clients[2], first + 23, NOON, "7.00")
        # A refund that states no points: what its purchase had redeemed may have come back.
        author.lot(clients[4], first + 3, "2026-03-02T10:00:00", "100.00",
                   Remain=Decimal(100 if is_as_usual else 80))  # fmt: skip
        author.cheque(clients[4], first + 13, "2026-03-04T10:00:00", "50.00",
                      Redeemed=Decimal(20))  # fmt: skip
        author.cheque(clients[4], first + 25, NOON, "50.00", Refund=True, Parent=first + 13)
        # A negative amount without the flag.
        author.cheque(clients[3], first + 24, NOON, "-30.00", Refund=None,
                      Parent=first + 99 if is_as_usual else None)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("is_as_usual", [True, False])
def test_rows_show_what_they_have_to_be_taken_for(
    warehouse: Warehouse, tmp_path: Path, is_as_usual: bool
) -> None:
    with empty_world(START, datetime(2026, 3, 11)) as simulator:
        _write(Author(simulator), is_as_usual)
        sync(simulator, warehouse, tmp_path, START, LAST)
    shown = _conventions(warehouse)
    readings = {
        "refund_redemptions": ("given_back", "left_out"),
        "bonus_redemptions": ("redeemed", "left_out"),
        "cheque_points": ("given", "left_out"),
        "silent_refunds": ("given_back", "kept"),
        "negative_amounts": ("refund", "purchase"),
    }
    for name, reading in readings.items():
        found = shown[name]
        expected = reading[0 if is_as_usual else 1]
        assert (found["detected"], found["used"], found["source"]) == (
            expected, expected, "detected",
        ), name  # fmt: skip
        assert (found["votes"], found["share"]) == (CLIENTS, 1), name
    (month,) = read_mart(warehouse, "points_bridge_monthly")
    cheques = read_mart(warehouse, "cheques")
    assert month["added"] == CLIENTS * 407
    assert month["redeemed"] == CLIENTS * (60 + 3 - 15 if is_as_usual else 80)
    assert month["residual"] == 0
    assert sum(row["is_refund"] for row in cheques) == CLIENTS * (3 if is_as_usual else 2)
    assert sum(row["is_told_by_cheque"] for row in read_mart(warehouse, "lots")) == (
        CLIENTS if is_as_usual else 0
    )
    assert_as_if_computed_anew(warehouse, "with detected conventions")


@pytest.mark.slow
def test_a_parameter_is_used_whatever_the_rows_show(
    warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with empty_world(START, datetime(2026, 3, 11)) as simulator:
        _write(Author(simulator), False)
        sync(simulator, warehouse, tmp_path, START, LAST)
    with warehouse.connect(autocommit=True) as session:
        session.execute("update mart.parameters set refunds_give_back = true")
    refresh_marts(warehouse)
    found = _conventions(warehouse)["refund_redemptions"]
    assert (found["detected"], found["used"], found["source"]) == (
        "left_out", "given_back", "parameter",
    )  # fmt: skip
    assert sum(row["redeemed"] for row in read_mart(warehouse, "cheques")) == CLIENTS * 65
    said = _said(warehouse)["refund_points_are_known"]
    assert f"whose lots have not: {CLIENTS}. Redeemed of a refund is given back" in said
    assert "(mart.parameters.refunds_give_back)" in said
    assert _shown_by_status(warehouse, capsys) == [
        "conventions detected: cheque_points = left_out, bonus_redemptions = left_out,"
        " silent_refunds = kept, negative_amounts = purchase",
        "conventions set in mart.parameters: refund_redemptions = given_back",
        "convention refund_redemptions contradicts the rows: given_back is used (parameter),"
        f" votes for left_out: 100% of {CLIENTS} (mart.parameters.refunds_give_back)",
    ]
    page = Page(make_report(warehouse, language="en").html).words("points")
    assert "refund_redemptions = given_back (set)" in page
    assert "A convention contradicts the rows: refund_redemptions" in page
    assert "undecided" not in page


@pytest.mark.slow
def test_a_few_rows_decide_nothing_and_are_counted(
    warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with empty_world(START, datetime(2026, 3, 11)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-03-01T01:00:00", [{"Card": 1}])
        author.cheque(client, 501, "2026-03-03T10:00:00", "-30.00", Refund=None)
        for number, points in ((502, 5), (503, 4), (504, 0)):
            author.cheque(client, number, NOON, "20.00", Refund=True, Parent=400,
                          Added=Decimal(points))  # fmt: skip
        author.lot(client, 505, NOON, "-2.00", BonusSource=7, Remain=None, Active=None)
        sync(simulator, warehouse, tmp_path, START, LAST)
    shown = _conventions(warehouse)
    doubtful = shown["negative_amounts"]
    assert (doubtful["detected"], doubtful["used"], doubtful["source"], doubtful["votes"]) == (
        "purchase", "refund", "default", 1,
    )  # fmt: skip
    said = _said(warehouse)
    assert said["refund_points_are_known"].startswith(
        "refunds: 3 (telling points with a positive sign: 2, with a negative sign: 0, both read as"
        " claw-back; telling none: 1)"
    )
    assert said["burns_are_known"].startswith(
        "rows of the burnt source: 1 (negative points in Added: 1, positive ones: 0,"
        " points in Redeemed: 0"
    )
    assert said["no_doubtful_refunds"].endswith(
        "taken for a refund (the default, as the rows do not show it)"
    )
    assert (
        "convention negative_amounts is undecided (votes for purchase: 100% of 1); refund is used"
        in ("\n".join(_shown_by_status(warehouse, capsys)))
    )
    page = Page(make_report(warehouse, language="en").html).words("points")
    assert "A convention is undecided: negative_amounts" in page


@pytest.mark.slow
def test_rows_are_looked_at_again_only_when_some_speak_of_an_open_convention(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with empty_world(START, datetime(2026, 3, 11)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-03-01T01:00:00", [{"Card": 1}])
        author.cheque(client, 501, "2026-03-03T10:00:00", "30.00")
        sync(simulator, warehouse, tmp_path, START, LAST)
        looked = _looked_at(warehouse)
        author.cheque(client, 502, "2026-03-11T10:00:00", "30.00")
        simulator.world.advance(datetime(2026, 3, 12))
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 11))
        assert _looked_at(warehouse) == looked
        author.cheque(client, 503, "2026-03-12T10:00:00", "-30.00", Refund=None)
        simulator.world.advance(datetime(2026, 3, 13))
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 12))
        assert _looked_at(warehouse) != looked
        assert _conventions(warehouse)["negative_amounts"]["votes"] == 1
        looked = _looked_at(warehouse)
        with warehouse.connect(autocommit=True) as session:
            session.execute("update refresh.findings set is_decided = true, detected = 'refund'"
                            " where convention = 'negative_amounts'")  # fmt: skip
        author.cheque(client, 504, "2026-03-13T10:00:00", "-30.00", Refund=None)
        simulator.world.advance(datetime(2026, 3, 14))
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 13))
        assert _looked_at(warehouse) == looked


@pytest.mark.slow
def test_accounts_of_a_sample_of_clients_are_counted_once_a_week(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with empty_world(START, datetime(2026, 3, 11)) as simulator:
        author = Author(simulator)
        clients = [author.client(n, "2026-03-01T01:00:00", [{"Card": n}]) for n in range(1, 21)]
        for n, client in enumerate(clients):
            author.cheque(client, 500 + n, "2026-03-03T10:00:00", "30.00")
            author.cheque(client, 600 + n, NOON, "30.00", Refund=True, Parent=500 + n)
        sync(simulator, warehouse, tmp_path, START, LAST)
        looked = _looked_at(warehouse)
        with warehouse.connect(autocommit=True) as session:
            # A fifth of the clients is the sample.
            session.execute(
                "update pg_class set reltuples = 10000 where oid = 'core.clients'::regclass"
            )
        for n, client in enumerate(clients):
            author.cheque(client, 700 + n, "2026-03-11T10:00:00", "30.00")
        simulator.world.advance(datetime(2026, 3, 12))
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 11))
        assert _looked_at(warehouse) == looked
        with warehouse.connect(autocommit=True) as session:
            session.execute("update refresh.findings set found_at = now() - interval '8 days'")
        for n, client in enumerate(clients):
            author.cheque(client, 800 + n, "2026-03-12T10:00:00", "30.00")
        simulator.world.advance(datetime(2026, 3, 13))
        sync(simulator, warehouse, tmp_path, START, date(2026, 3, 12))
        assert _looked_at(warehouse) > looked


def _conventions(warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    return {row["convention"]: row for row in read_mart(warehouse, "conventions")}


def _shown_by_status(warehouse: Warehouse, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    print_status(read_status(warehouse), LAST, warehouse="here", settings="none")
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("convention")]


def _looked_at(warehouse: Warehouse) -> datetime:
    with warehouse.connect() as session:
        row = session.execute(
            "select max(found_at) from refresh.findings where convention <> 'spending_order'"
        ).fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def _said(warehouse: Warehouse) -> dict[str, str]:
    with warehouse.connect() as session:
        return {name: text for name, _, text in session.execute(query("mart_checks"))}
