"""The types of values, rows and responses."""

from decimal import Decimal

Value = int | str | Decimal | bool | None
Row = dict[str, Value]
Fields = dict[str, Value | list[Row]]
