"""Compares the warehouse with the true rows of a simulated programme, field by field.

Written only from the vendor's documentation (`tests.documented`) and the columns of the warehouse's
tables: it shares no code with the transform, so both cannot have the same bug.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from tests.documented import TABLES, Table, moment_of
from tests.stored import Rows, stored_rows

Truth = Mapping[str, list[dict[str, Any]]]

MOSCOW = ZoneInfo("Europe/Moscow")
MAX_SHOWN = 12


class Difference(NamedTuple):
    """One row that differs; `columns` contains pairs of the true and the stored value."""

    table: str
    key: tuple[Any, ...]
    kind: str
    columns: dict[str, tuple[Any, Any]]

    def __str__(self) -> str:
        values = "; ".join(f"{c}: true {t!r}, stored {s!r}" for c, (t, s) in self.columns.items())
        return f"{self.table} {self.key}: {self.kind} {values}".rstrip()


def assert_exact(
    source: RunningSimulator, warehouse: Warehouse, *, last: date, **options: Any
) -> None:
    """Fail with the first differences between a programme and the warehouse.

    options: see `differences`.
    """
    found = differences(source.world.truth(), warehouse, last=last, **options)
    shown = "\n".join(str(one) for one in found[:MAX_SHOWN])
    assert not found, f"{len(found)} rows differ from the source, such as\n{shown}"


def differences(
    truth: Truth,
    warehouse: Warehouse,
    *,
    last: date,
    zone: ZoneInfo = MOSCOW,
    extra: Mapping[str, Any] | None = None,
    without: Iterable[int] = (),
) -> list[Difference]:
    """Compare every live row of the clients registered by `last`.

    extra: fields that the server adds to each row. without: clients whose rows are not compared.
    """
    known = _registered_by(truth, last, zone) - set(without)
    left_out = set(without)
    found: list[Difference] = []
    for table in TABLES:
        true = _true_rows(table, truth, known, zone=zone, extra=extra or {})
        stored = {
            key: row
            for key, row in stored_rows(warehouse, table).items()
            if row["client_id"] not in left_out
        }
        found += _compare(table.name, true, stored)
    return found


def day_of(text: str, zone: ZoneInfo) -> date:
    """The day of a naive Moscow time in a zone."""
    moment = moment_of(text)
    assert moment is not None
    return moment.astimezone(zone).date()


def is_bad(row: Mapping[str, Any], truth: Truth) -> bool:
    """Whether a row of operations is one of those that do not fit the contract."""
    return any(row == bad for bad in truth["bad_rows"])


def _registered_by(truth: Truth, last: date, zone: ZoneInfo) -> set[int]:
    return {row["Client"] for row in truth["registrations"] if day_of(row["RegDate"], zone) <= last}


def _true_rows(
    table: Table, truth: Truth, known: set[int], *, zone: ZoneInfo, extra: Mapping[str, Any]
) -> Rows:
    rows: Rows = {}
    named = {column.field for column in table.columns} | table.ignored
    for row in truth[table.name]:
        if row["Client"] not in known or (table.name == "operations" and is_bad(row, truth)):
            continue
        values = {column.name: column.read(row.get(column.field)) for column in table.columns}
        if table.day:
            day, moment = table.day
            values[day] = values[moment].astimezone(zone).date()
        unnamed = {name: _plain(value) for name, value in row.items() if name not in named}
        added = {} if table.name == "favourite_stats" else extra
        values["extra"] = {**unnamed, **added} or None
        key = tuple(values[name] for name in table.key)
        assert key not in rows, f"the source has {key} of {table.name} twice"
        rows[key] = values
    return rows


def _plain(value: Any) -> Any:
    """A value as psycopg loads it from jsonb."""
    return float(value) if isinstance(value, Decimal) else value


def _compare(table: str, true: Rows, stored: Rows) -> list[Difference]:
    found = []
    for key in sorted(true.keys() | stored.keys(), key=str):
        if key not in stored:
            found.append(Difference(table, key, "missing", {}))
        elif key not in true:
            found.append(Difference(table, key, "surplus", {}))
        elif true[key] != stored[key]:
            columns = {
                name: (value, stored[key][name])
                for name, value in true[key].items()
                if value != stored[key][name]
            }
            found.append(Difference(table, key, "different", columns))
    return found
