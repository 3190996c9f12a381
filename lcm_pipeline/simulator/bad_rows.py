"""Rows that do not fit the payloads, for testing the quarantine; off unless a habit enables them.

A spoilt row is an additional row, and counts in every total. A row with an unknown field is valid.
"""

from lcm_pipeline.simulator.customers import Entry, Shelf
from lcm_pipeline.simulator.fields import Row
from lcm_pipeline.simulator.programme import Programme, kopecks


def spoil_sometimes(programme: Programme, shelf: Shelf, model: Entry) -> None:
    """Sometimes add a spoilt copy of an operation."""
    if not programme.habits.bad_rows or not programme.happens(programme.habits.bad_rows):
        return
    row: Row = dict(model.row)
    number = next(programme.ids["others"])
    row["Id"] = row["ChequeId"] = number
    spoil = programme.chance.choice(_SPOILERS)
    spoil(row)
    entry = programme.place(shelf, row, model.moment)
    entry.bad = spoil is not _with_unknown_fields


def _without_key(row: Row) -> None:
    del row["Id"]


def _with_null_type(row: Row) -> None:
    row["ComponentType"] = None


def _with_garbage_date(row: Row) -> None:
    row["Proctime"] = "2026-02-30T25:61:00"


def _with_huge_type(row: Row) -> None:
    row["ComponentType"] = 300


def _with_huge_number(row: Row) -> None:
    row["Pos"] = 2**63


def _with_text_amount(row: Row) -> None:
    row["Amount"] = "сто рублей"


def _with_unknown_fields(row: Row) -> None:
    row["Cashier"] = "Смирнова"
    row["Tips"] = kopecks(1050)


_SPOILERS = (
    _without_key,
    _with_null_type,
    _with_garbage_date,
    _with_huge_type,
    _with_huge_number,
    _with_text_amount,
    _with_unknown_fields,
)
