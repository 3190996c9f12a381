"""Exported files have the values of the marts, in types that other programs read."""

import csv
import io
import itertools
import json
from collections import Counter
from datetime import date
from typing import Any

import pytest

from lcm_pipeline.warehouse.access.export import export_csv, export_parquet
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from tests.marts.comparing import read_mart
from tests.marts.worlds import Synced

parquet = pytest.importorskip("pyarrow.parquet")


def _exported(synced: Synced, mart: str) -> Any:
    file = io.BytesIO()
    rows = export_parquet(synced.warehouse, mart, file)
    table = parquet.read_table(file)
    assert table.num_rows == rows
    return table


@pytest.mark.parametrize("mart", sorted(mart.name for mart in marts()))
def test_every_mart_is_written_as_parquet(by_hand: Synced, mart: str) -> None:
    table = _exported(by_hand, mart)
    rows = read_mart(by_hand.warehouse, mart)
    assert table.num_rows == len(rows)
    if rows:
        assert table.column_names == list(rows[0])


def test_days_between_purchases_are_written_as_lists(by_chance: Synced) -> None:
    days: dict[int, list[Any]] = {}
    bought = by_chance.golden.purchases.sort_values(["client", "day"])
    for client, day in zip(bought["client"], bought["day"], strict=True):
        days.setdefault(client, []).append(day)
    gaps = [
        (late - early).days
        for days_of_client in days.values()
        for early, late in itertools.pairwise(days_of_client)
    ]
    written = _exported(by_chance, "purchase_months").column("gaps_days").to_pylist()
    assert sorted(gap for months in written for gap in months or ()) == sorted(gaps)
    assert gaps


def test_leads_by_mark_are_written_as_json(by_chance: Synced) -> None:
    marks = Counter(
        lead["LeadMarkName"] for lead in by_chance.truth["leads"] if lead["LeadMarkName"]
    )
    written = _exported(by_chance, "leads_daily").column("leads_by_mark").to_pylist()
    found: Counter[str] = Counter()
    for text in written:
        found.update(json.loads(text))
    assert found == marks
    assert found


def _csv_of(warehouse: Warehouse, mart: str, *, spreadsheet_safe: bool = False) -> list[list[str]]:
    file = io.BytesIO()
    rows = export_csv(warehouse, mart, file, spreadsheet_safe=spreadsheet_safe)
    _, *lines = csv.reader(io.StringIO(file.getvalue().decode(), newline=""))
    assert len(lines) == rows
    return lines


@pytest.mark.parametrize("mart", sorted(mart.name for mart in marts()))
def test_every_mart_is_written_as_csv(by_hand: Synced, mart: str) -> None:
    assert len(_csv_of(by_hand.warehouse, mart)) == len(read_mart(by_hand.warehouse, mart))


@pytest.mark.parametrize("mart", ["store_daily", "sales_daily"])
def test_rows_are_in_the_order_of_their_key_however_they_lie_in_the_table(
    warehouse: Warehouse, mart: str
) -> None:
    places = [(date(2026, 3, day), name, pos) for day in (1, 2) for name in "ab" for pos in (7, 8)]
    expected = [*places, (date(2026, 3, 3), "a", None)]
    with warehouse.connect(autocommit=True) as session:
        for place in (expected[4], *reversed(expected[5:]), *reversed(expected[:4])):
            session.execute(
                f"insert into mart.{mart} (day, partner_name, pos_id) values (%s, %s, %s)", place
            )
    written = [tuple(line[:3]) for line in _csv_of(warehouse, mart)]
    assert written == [(str(day), name, str(pos or "")) for day, name, pos in expected]
    file = io.BytesIO()
    export_parquet(warehouse, mart, file)
    table = parquet.read_table(file).select(["day", "partner_name", "pos_id"])
    assert [tuple(row.values()) for row in table.to_pylist()] == expected


def test_texts_are_no_formulas_in_a_spreadsheet_if_it_is_asked_for(warehouse: Warehouse) -> None:
    names = ["=1+1", "+7", "-x", "@SUM(A1)", "\tx", "plain", "a=b", "", None]
    with warehouse.connect(autocommit=True) as session:
        for number, name in enumerate(names):
            session.execute(
                "insert into mart.store_daily (day, partner_name, pos_id, net_sales)"
                " values ('2026-03-01', %s, %s, -5.10)",
                (name, number),
            )

    def written(*, spreadsheet_safe: bool) -> dict[int, str]:
        lines = _csv_of(warehouse, "store_daily", spreadsheet_safe=spreadsheet_safe)
        assert {line[5] for line in lines} == {"-5.10"}
        return {int(line[2]): line[1] for line in lines}

    as_they_are = {number: name or "" for number, name in enumerate(names)}
    assert written(spreadsheet_safe=False) == as_they_are
    safe = {number: f"'{name}" for number, name in as_they_are.items() if number < 5}
    assert written(spreadsheet_safe=True) == {**as_they_are, **safe}
