"""Compares a mart with a golden answer, row by row and column by column."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.connection import Warehouse

MAX_SHOWN = 8


def read_mart(warehouse: Warehouse, name: str) -> list[dict[str, Any]]:
    """All rows of a mart."""
    with warehouse.connect() as session, session.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL("select * from {}").format(Identifier("mart", name))).fetchall()


def assert_answer(
    warehouse: Warehouse, name: str, expected: Sequence[dict[str, Any]], key: Sequence[str]
) -> None:
    """Fail with the first rows that differ in a column of the expected ones."""
    assert expected, f"nothing is expected of {name}"
    actual = _by_key(read_mart(warehouse, name), key)
    wanted = _by_key(expected, key)
    wrong = [f"missing {k}" for k in wanted.keys() - actual.keys()]
    wrong += [f"surplus {k}: {actual[k]}" for k in actual.keys() - wanted.keys()]
    for which, row in wanted.items():
        for column, value in row.items():
            if which in actual and not _alike(value, actual[which][column]):
                wrong.append(f"{which} {column}: expected {value!r}, not {actual[which][column]!r}")
    assert not wrong, f"{name}: {len(wrong)} differences, such as\n" + "\n".join(wrong[:MAX_SHOWN])


def _by_key(rows: Sequence[dict[str, Any]], key: Sequence[str]) -> dict[Any, dict[str, Any]]:
    found = {tuple(row[name] for name in key): row for row in rows}
    assert len(found) == len(rows), f"two rows have the same {', '.join(key)}"
    return found


def _alike(expected: Any, actual: Any) -> bool:
    if isinstance(expected, float) and not math.isnan(expected):
        return actual is not None and abs(Decimal(expected) - Decimal(actual)) < Decimal("1e-6")
    return bool(expected == actual)
