"""What requests, rows and responses are made of."""

from decimal import Decimal

Value = int | str | Decimal | bool | None
Row = dict[str, Value]
Fields = dict[str, Value | list[Row]]
