"""The statements of docs/how-to/bi-tools.md answer their questions, as a member of lcm_bi."""

import re
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.marts.golden import month_end, month_of, share, total
from tests.marts.worlds import Synced

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "bi-tools.md"


def _answer(synced: Synced, mart: str) -> list[tuple[Any, ...]]:
    """The rows of the statement of the page that reads this mart."""
    blocks = re.findall(r"```sql\n(select\n.*?)```", _PAGE.read_text("utf-8"), re.DOTALL)
    [statement] = [block for block in blocks if f"from mart.{mart}" in block]
    with synced.warehouse.connect() as session:
        session.execute("set role lcm_bi")
        return session.execute(statement.encode()).fetchall()


def test_the_list_of_who_loses_points_soon_has_the_main_store(by_chance: Synced) -> None:
    golden = by_chance.golden
    points: dict[int, Decimal] = defaultdict(Decimal)
    first: dict[int, date] = {}
    for row in golden.points_expiring():
        if row["days_left"] <= 30:
            client = row["client_id"]
            points[client] += row["points"]
            first[client] = min(first.get(client, row["expiry_date"]), row["expiry_date"])
    names = {row["Pos"]: row["PosName"] for row in by_chance.truth["operations"] if row["PosName"]}
    stores = {
        row["client_id"]: names[row["pos_id"]] for row in golden.client_stores() if row["is_main"]
    }
    expected = {
        (client, stores.get(client), first[client], lost)
        for client, lost in points.items()
        if lost > 500
    }
    found = _answer(by_chance, "points_expiring as")
    assert expected
    assert set(found) == expected
    assert len(found) == len(expected)


def test_the_share_redeemed_within_30_days_is_that_of_what_really_happened(
    by_chance: Synced,
) -> None:
    golden = by_chance.golden
    given = {lot: (day, added) for lot, day, added in golden.lots[["lot", "day", "added"]].values}
    redeemed: dict[date, Decimal] = defaultdict(Decimal)
    for lot, day, kind, points in golden.moved[["lot", "day", "kind", "points"]].values:
        if kind == "redeemed" and lot in given and day <= given[lot][0] + timedelta(30):
            redeemed[month_of(given[lot][0])] -= points
    expected = []
    for month in sorted({month_of(day) for day, _ in given.values()}):
        if month_end(month) + timedelta(30) <= by_chance.last:
            issued = total(added for day, added in given.values() if month_of(day) == month)
            expected.append((month, issued, share(redeemed[month], issued)))
    assert len(expected) == 2
    assert _answer(by_chance, "points_movements") == expected


def test_the_share_of_clients_who_buy_again_counts_only_those_known_for_30_days(
    by_chance: Synced,
) -> None:
    again: dict[date, list[bool]] = defaultdict(list)
    for _, bought in by_chance.golden.purchases.groupby("client"):
        days = sorted(bought["day"])
        if days[0] + timedelta(30) <= by_chance.last:
            gap = next((later - first for first, later in pairwise(days)), None)
            again[month_of(days[0])].append(gap is not None and gap <= timedelta(30))
    expected = [
        (month, len(found), share(sum(found), len(found))) for month, found in sorted(again.items())
    ]
    assert len(expected) > 1
    assert _answer(by_chance, "cheques") == expected
