"""One snapshot of the marts, for a file or a report of several queries."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.errors import OTHER_SCHEMA_ERRORS, WarehouseUnavailableError


@contextmanager
def open_mart_snapshot(
    warehouse: Warehouse, application_name: str, read: str = "the marts"
) -> Iterator[Session]:
    """Open a read-only transaction over the marts, so that all results are consistent.

    read: what is read, for messages. Raises WarehouseUnavailableError if that is missing or not
    readable, else psycopg.Error.
    """
    try:
        with warehouse.connect(application_name=application_name) as session:
            session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            session.read_only = True
            yield session
    except OTHER_SCHEMA_ERRORS as error:
        raise WarehouseUnavailableError(
            f"The warehouse {warehouse.location} lacks {read} of this version: run lcm migrate"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise WarehouseUnavailableError(
            f"The warehouse {warehouse.location} does not let this user read {read}: make the user"
            " of LCM_DATABASE_URL a member of lcm_bi"
        ) from error
