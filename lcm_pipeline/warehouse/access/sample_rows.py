"""Sample rows of a table for the Dagster UI, without personal data."""

from typing import Any, NamedTuple

from lcm_pipeline.model.tables import CORE_TABLES
from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import composed

# Columns that a sample never shows: they identify a person, or may. So does the client id: Dagster
# stores the sample of a day for as long as it stores that the day was synced, and `lcm forget` does
# not reach it.
_PERSONAL = frozenset({
    "client_id", "phone", "card_number", "out_number", "cheque_number",
    "coupon_number", "subject", "extra",
})  # fmt: skip
_MAX_ROWS = 5


class SampleRows(NamedTuple):
    """Rows of a table, and the names of their columns."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def sample_rows(session: Session, table_name: str, window: Window) -> SampleRows:
    """A few rows of a table of core: of the window's days, newest first, if it has days."""
    table = next(table for table in CORE_TABLES if table.name == table_name)
    columns = [name for name in table.columns if name not in _PERSONAL]
    if table.date_column is None:
        statement = composed("sample_rows", columns=columns, table=table.name, key=table.key)
    else:
        statement = composed(
            "sample_rows_of_days", columns=columns, table=table.name, day=table.date_column
        )
    values = {"first": window.first, "last": window.last, "most": _MAX_ROWS}
    return SampleRows(columns, session.execute(statement, values).fetchall())
