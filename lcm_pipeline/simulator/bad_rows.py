"""Rows that do not fit the payloads, for testing the quarantine; off unless a habit enables them.

A spoilt row is an additional row, and counts in every total. A row with an unknown field is valid.
"""

from lcm_pipeline.simulator.customers import Entry, Shelf
from lcm_pipeline.simulator.fields import Row
from lcm_pipeline.simulator.programme import Programme, kopecks

_UNKNOWN_FIELDS: Row = {"Cashier": "Смирнова", "Tips": kopecks(1050)}
# What a spoilt row has instead of its model's fields; None for one without its key.
_SPOILT: tuple[Row | None, ...] = (
    None,
    {"ComponentType": None},
    {"Proctime": "2026-02-30T25:61:00"},
    {"ComponentType": 300},
    {"Pos": 2**63},
    {"Amount": "сто рублей"},
    _UNKNOWN_FIELDS,
)


def spoil_sometimes(programme: Programme, shelf: Shelf, model: Entry) -> None:
    """Sometimes add a spoilt copy of an operation."""
    if not programme.applies(programme.habits.bad_rows):
        return
    number = next(programme.ids["others"])
    row: Row = {**model.row, "Id": number, "ChequeId": number}
    spoilt = programme.chance.choice(_SPOILT)
    if spoilt is None:
        del row["Id"]
    else:
        row |= spoilt
    entry = programme.place(shelf, row, model.moment)
    entry.bad = spoilt is not _UNKNOWN_FIELDS
