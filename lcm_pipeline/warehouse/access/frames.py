"""Query results as pandas data frames, for output and reports."""

from typing import Any

import pandas as pd
import psycopg
from psycopg.rows import TupleRow

from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import query, report_query


def read_frame(session: Session, query_name: str) -> pd.DataFrame:
    """Run a statement of sql/queries that has no parameters."""
    cursor = session.execute(query(query_name))
    return pd.DataFrame(cursor.fetchall(), columns=_names(cursor))


def read_report(session: Session, query_name: str, **values: Any) -> pd.DataFrame:
    """Run sql/reports/<query_name>.sql; values keep their types, so counts stay integers."""
    cursor = session.execute(report_query(query_name), values)
    return pd.DataFrame(cursor.fetchall(), columns=_names(cursor), dtype=object)


def _names(cursor: psycopg.Cursor[TupleRow]) -> list[str]:
    return [column.name for column in cursor.description or ()]
