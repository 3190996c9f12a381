"""Export of a mart: CSV streamed from the server, or Parquet in batches, in constant memory.

The rows are in the order of the mart's key, which its index has; without a key in that of all its
columns, which the server sorts. So equal marts give equal files.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier

from lcm_pipeline.model.extras import requires_extra
from lcm_pipeline.warehouse.access.mart_snapshot import open_mart_snapshot
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.queries import composed, query

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 20_000
# The precision of Arrow's decimal128.
_MAX_DIGITS = 38
# Texts that a spreadsheet reads as a formula, after OWASP's "CSV injection". Its import drops the
# apostrophe, or shows it.
_TEXTS = frozenset({psycopg.adapters.types[name].oid for name in ("text", "varchar", "bpchar")})
_AS_TEXT = SQL("case when {0} ~ '^[-=+@\\t\\r\\n]' then '''' || {0} else {0} end as {0}")


def export_csv(
    warehouse: Warehouse, mart: str, file: BinaryIO, *, spreadsheet_safe: bool = False
) -> int:
    """Write the mart as CSV in UTF-8 with a header; returns the number of rows.

    spreadsheet_safe: an apostrophe before each text that a spreadsheet would run as a formula.
    """
    with (
        open_mart_snapshot(warehouse, "lcm export", f"mart.{mart}") as session,
        session.cursor() as cursor,
    ):
        rows = _ordered_rows_of(session, mart, spreadsheet_safe=spreadsheet_safe)
        statement = SQL("copy ({}) to stdout (format csv, header)").format(rows)
        with cursor.copy(statement) as copy:
            for block in copy:
                file.write(block)
        return cursor.rowcount


def export_parquet(warehouse: Warehouse, mart: str, file: BinaryIO) -> int:
    """Write the mart as Parquet; returns the number of rows.

    Numeric columns become exact decimals where 38 digits suffice, else doubles; arrays become
    lists, objects JSON. Times are in UTC.
    """
    with requires_extra("parquet", "lcm export --format parquet"):
        import pyarrow.parquet as parquet
    with open_mart_snapshot(warehouse, "lcm export", f"mart.{mart}") as session:
        schema = _schema_of(session, mart)
        rows = 0
        with (
            parquet.ParquetWriter(file, schema) as writer,
            session.cursor(name="export") as cursor,
        ):
            cursor.execute(_ordered_rows_of(session, mart))
            while batch := cursor.fetchmany(_BATCH):
                writer.write_batch(_as_arrow(schema, batch))
                rows += len(batch)
        return rows


def _columns_of(session: Session, mart: str) -> Sequence[psycopg.Column]:
    statement = composed("no_rows_of_table", table=Identifier("mart", mart))
    return session.execute(statement).description or ()


def _ordered_rows_of(session: Session, mart: str, *, spreadsheet_safe: bool = False) -> Composed:
    """The rows by the mart's key, or by all columns if it has none."""
    columns = {column.name: column.type_code for column in _columns_of(session, mart)}
    keys = {(schema, table): key for schema, table, key, _ in session.execute(query("table_keys"))}
    shown: list[Composable] = [
        _AS_TEXT.format(Identifier(name))
        if spreadsheet_safe and type_code in _TEXTS
        else Identifier(name)
        for name, type_code in columns.items()
    ]
    order = [Identifier(mart, name) for name in keys["mart", mart] or columns]
    return composed(
        "ordered_rows",
        columns=SQL(", ").join(shown),
        table=Identifier("mart", mart),
        key=SQL(", ").join(order),
    )


def _schema_of(session: Session, mart: str) -> "pa.Schema":
    """The Arrow schema of the mart, from the Postgres types of its columns."""
    import pyarrow as pa

    plain = {
        "bool": pa.bool_(),
        "int2": pa.int16(),
        "int4": pa.int32(),
        "int8": pa.int64(),
        "float4": pa.float32(),
        "float8": pa.float64(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", tz="UTC"),
    }
    fields = []
    for column in _columns_of(session, mart):
        known = psycopg.adapters.types.get(column.type_code)
        name = known.name if known is not None else "text"
        # An array is registered under the name of its elements.
        is_array = known is not None and known.array_oid == column.type_code
        if name == "numeric" and not is_array:
            kind = _decimal(session, mart, column.name)
        else:
            kind = plain.get(name, pa.string())
        fields.append(pa.field(column.name, pa.list_(kind) if is_array else kind))
    return pa.schema(fields)


def _decimal(session: Session, mart: str, column: str) -> "pa.DataType":
    """The decimal type that holds every value of the column; float64 if none does."""
    import pyarrow as pa

    measure = composed("measure_numbers", number=column, table=Identifier("mart", mart))
    scale, largest = session.execute(measure).fetchone() or (None, None)
    if scale is None or largest is None:
        return pa.decimal128(_MAX_DIGITS, 2)
    # Digits before and after the point together. NaN and infinity do not fit a decimal.
    if not Decimal(largest).is_finite() or len(str(int(largest))) + scale > _MAX_DIGITS:
        return pa.float64()
    return pa.decimal128(_MAX_DIGITS, scale)


def _as_arrow(schema: "pa.Schema", rows: Sequence[tuple[Any, ...]]) -> "pa.RecordBatch":
    import pyarrow as pa

    arrays = []
    for field, values in zip(schema, zip(*rows, strict=True), strict=True):
        if pa.types.is_string(field.type):
            values = tuple(map(_as_text, values))
        elif pa.types.is_floating(field.type):
            values = tuple(None if value is None else float(value) for value in values)
        arrays.append(pa.array(values, type=field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _as_text(value: Any) -> str | None:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return None if value is None else str(value)
