"""Exported files have the values of the marts, in types that other programs read."""

import io
import itertools
import json
from collections import Counter
from typing import Any

import pytest

from lcm_pipeline.warehouse.access.export import export_parquet
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
