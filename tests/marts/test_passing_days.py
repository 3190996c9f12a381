"""Days pass and no row changes: what ends, starts or grows old is as if computed anew."""

from collections import Counter
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from tests.marts.author import Author
from tests.marts.comparing import read_mart
from tests.marts.hard_edges import write_hard_edges
from tests.marts.life import assert_as_if_computed_anew
from tests.marts.worlds import empty_world, sync

FIRST, LAST = date(2026, 1, 1), date(2026, 3, 10)
# Lots start and end on the next days; later, purchases are no longer recent.
_AHEAD = (1, 2, 3, 7, 30, 31, 122, 356, 365)


def _write_lots(author: Author) -> None:
    """Lots whose remain the source leaves as it is when they end."""
    client = author.client(1, "2026-02-01T10:00:00", [{"Card": 1}])
    author.cheque(client, 801, "2026-02-10T10:00:00", "400.00")
    author.lot(
        client, 811, "2026-02-10T10:00:00", "20.00", ChequeId=801, ends="2026-03-11T12:00:00"
    )
    author.lot(client, 812, "2026-02-11T10:00:00", "30.00", starts="2026-03-12T00:00:00",
               ends="2026-03-13T12:00:00")  # fmt: skip
    # A part was redeemed before.
    author.lot(client, 813, "2026-02-12T10:00:00", "40.00", ends="2026-03-12T12:00:00",
               Remain=Decimal("25.00"))  # fmt: skip
    author.cheque(client, 802, "2026-03-01T10:00:00", "90.00", Redeemed=Decimal("15.00"))
    # Blocked, and one that a burn names although it still has points.
    author.lot(client, 814, "2026-02-12T10:00:00", "7.00", ends="2026-03-13T12:00:00", Active=False)
    author.lot(client, 815, "2026-02-13T10:00:00", "8.00", ends="2026-03-17T12:00:00")
    author.lot(client, 816, "2026-03-01T10:00:00", "-3.00", BonusSource=7, Parent=815,
               Remain=None, Active=None)  # fmt: skip
    # Only a cheque records it.
    author.cheque(client, 803, "2026-03-02T10:00:00", "50.00", Added=Decimal("5.00"),
                  ExpiryDate="2026-03-17T12:00:00")  # fmt: skip
    # Who never bought has nothing left when the lot ends.
    gift = author.client(2, "2026-02-01T10:00:00", [{"Card": 2}])
    author.lot(gift, 821, "2026-02-20T10:00:00", "50.00", BonusSource=4, ends="2026-04-09T12:00:00")
    author.lot(gift, 822, "2026-02-20T10:00:00", "60.00", BonusSource=4, ends="2026-07-09T12:00:00")


@pytest.mark.slow
def test_as_days_pass_the_marts_equal_a_full_computation(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with empty_world(FIRST, datetime(2026, 3, 11)) as simulator:
        author = Author(simulator)
        write_hard_edges(author)
        _write_lots(author)
        for ahead in (0, *_AHEAD):
            last = LAST + timedelta(days=ahead)
            simulator.world.advance(datetime(last.year, last.month, last.day) + timedelta(days=1))
            sync(simulator, warehouse, tmp_path, FIRST, last)
            assert_as_if_computed_anew(warehouse, f"on {last}")
    assert _movements(warehouse, 811) == Counter(
        {("added", Decimal(20), 1): 1, ("expired", Decimal(-20), -1): 1}
    )


def test_a_lot_that_ends_computes_nothing_else_of_its_client(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """A movement that was put there by hand stays, until the client's rows change."""
    with empty_world(FIRST, datetime(2026, 3, 11)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-02-01T10:00:00", [{"Card": 1}])
        author.lot(client, 811, "2026-02-10T10:00:00", "20.00", ends="2026-03-11T12:00:00")
        sync(simulator, warehouse, tmp_path, FIRST, LAST)
        with warehouse.connect(autocommit=True) as session:
            session.execute(
                "insert into mart.points_movements (movement_date, client_id, kind, points,"
                " lots_change) values ('2026-02-10', 1, 'added', 1, 0)"
            )
        simulator.world.advance(datetime(2026, 3, 12))
        sync(simulator, warehouse, tmp_path, FIRST, date(2026, 3, 11))
        assert _kinds(warehouse) == Counter(added=2, expired=1)
        author.lot(client, 812, "2026-03-12T10:00:00", "5.00")
        simulator.world.advance(datetime(2026, 3, 13))
        sync(simulator, warehouse, tmp_path, FIRST, date(2026, 3, 12))
        assert _kinds(warehouse) == Counter(added=2, expired=1)


def test_a_month_that_ends_computes_no_member_who_did_not_buy(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Members who were added by hand stay, as days change by rows that changed alone."""
    march, april = date(2026, 3, 1), date(2026, 4, 1)
    with empty_world(FIRST, datetime(2026, 3, 31)) as simulator:
        author = Author(simulator)
        client = author.client(1, "2026-03-01T10:00:00", [{"Card": 1}])
        author.cheque(client, 801, "2026-03-05T10:00:00", "400.00")
        sync(simulator, warehouse, tmp_path, FIRST, date(2026, 3, 30))
        with warehouse.connect(autocommit=True) as session:
            session.execute(
                "update mart.activity_changes set members = members + 10"
                " where change_date = '2026-03-01'"
            )
        for last in (date(2026, 3, 31), date(2026, 4, 1), date(2026, 4, 4)):
            simulator.world.advance(datetime.combine(last, time()) + timedelta(days=1))
            sync(simulator, warehouse, tmp_path, FIRST, last)
    assert [
        (row["month"], row["members"], row["active_30_days"], row["active_90_days"])
        for row in read_mart(warehouse, "activity_monthly")
    ] == [(march, 11, 1, 1), (april, 11, 0, 1)]


def _movements(warehouse: Warehouse, lot: int) -> Counter[tuple[Any, ...]]:
    with warehouse.connect() as session:
        return Counter(
            session.execute(
                "select kind, points, lots_change from mart.points_movements where lot_id = %s",
                (lot,),
            ).fetchall()
        )


def _kinds(warehouse: Warehouse) -> Counter[str]:
    with warehouse.connect() as session:
        rows = session.execute("select kind from mart.points_movements").fetchall()
    return Counter(kind for (kind,) in rows)
