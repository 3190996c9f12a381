"""Query results as pandas data frames, for output and reports."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.errors import OTHER_SCHEMA_ERRORS, WarehouseUnavailableError
from lcm_pipeline.warehouse.queries import query, report_query


def read_frame(warehouse: Warehouse, query_name: str, **values: Any) -> pd.DataFrame:
    """Run a statement of sql/queries; `values` are its %(name)s parameters."""
    with warehouse.engine.connect() as connection:
        cursor = connection.exec_driver_sql(query(query_name).decode(), values)
        return pd.DataFrame(cursor.fetchall(), columns=list(cursor.keys()))


class MartSnapshot:
    """The marts in one snapshot of the database, however long it is read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, query_name: str, **values: Any) -> pd.DataFrame:
        """Run sql/reports/<query_name>.sql; values keep their types, so counts stay integers."""
        cursor = self._connection.exec_driver_sql(report_query(query_name), values)
        return pd.DataFrame(cursor.fetchall(), columns=list(cursor.keys()), dtype=object)


@contextmanager
def open_mart_snapshot(warehouse: Warehouse) -> Iterator[MartSnapshot]:
    """Open a read-only transaction over the marts, so that all results are consistent.

    Raises WarehouseUnavailableError if the marts are missing or not readable, else psycopg.Error.
    """
    engine = warehouse.engine.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    try:
        with engine.connect() as connection:
            yield MartSnapshot(connection)
    except DBAPIError as error:
        if isinstance(error.orig, OTHER_SCHEMA_ERRORS):
            raise WarehouseUnavailableError(
                f"The warehouse {warehouse.location} has no marts, or those of another version:"
                " run lcm migrate"
            ) from error
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise WarehouseUnavailableError(
                f"The warehouse {warehouse.location} does not let this user read the marts: make"
                " the user of LCM_DATABASE_URL a member of lcm_bi"
            ) from error
        raise (error.orig or error) from error
