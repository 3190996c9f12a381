"""Which database a warehouse is, whatever address it is reached by."""

from hashlib import sha256

import psycopg

from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.queries import fetch_value


def warehouse_identity(settings: Settings) -> str:
    """A name of the warehouse that is the same on every machine; letters, digits and hyphens.

    An embedded warehouse, which one machine reaches, is named after its folder and not started.
    Raises WarehouseUnavailableError.
    """
    if settings.database_url is None:
        return sha256(str(settings.home_path.resolve()).encode()).hexdigest()[:16]
    with (
        open_warehouse(settings) as warehouse,
        warehouse.connect(autocommit=True, application_name="lcm identity") as session,
    ):
        try:
            return str(fetch_value(session, "identify_database"))
        except psycopg.errors.InsufficientPrivilege:
            return sha256(warehouse.location.encode()).hexdigest()[:16]
