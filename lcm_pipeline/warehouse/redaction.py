"""Database errors without the rows that they quote.

Postgres quotes the values of a row that violates a constraint or does not fit its type. Rows are
personal data here, so such an error must not reach a terminal, a log or Dagster's event log.
"""

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
        rule = error.diag.constraint_name or error.diag.column_name or "its type"
        raise RowRefusedError(
            f"{action}: the warehouse refused a row because of {rule} (SQLSTATE {error.sqlstate});"
            " nothing of this step was stored"
        ) from None  # The original error quotes the row.
