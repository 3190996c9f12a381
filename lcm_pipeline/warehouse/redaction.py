"""Database errors without the rows that they quote.

Postgres quotes the values of a row that violates a constraint or does not fit its type. Rows are
personal data here, so such an error must not reach a terminal, a log or Dagster's event log.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from lcm_pipeline.model.errors import UserError


class RowRefusedError(UserError):
    """The database refused a row; the message names the rule, never the row."""


@contextmanager
def redact_rows(action: str) -> Iterator[None]:
    """Raise RowRefusedError instead of an error that may quote a row. action: what was tried."""
    try:
        yield
    except (psycopg.errors.DataError, psycopg.errors.IntegrityError) as error:
        raise RowRefusedError(
            f"{action}: the warehouse refused a row ({rule_of(error)}); nothing of this step was"
            " stored"
        ) from None  # The original error quotes the row.


def rule_of(error: psycopg.Error) -> str:
    """Return which rule a value broke, where, and its SQLSTATE; never the value."""
    # The class is the condition: NumericValueOutOfRange.
    rule = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    names = (error.diag.table_name, error.diag.constraint_name, error.diag.column_name)
    return ", ".join([rule, *(name for name in names if name), f"SQLSTATE {error.sqlstate}"])
