"""Prepares a warehouse for a command that calls the API."""

from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.privacy.expiration import limit_first_sync
from lcm_pipeline.warehouse.privacy.pseudonymizing import use_keys
from lcm_pipeline.warehouse.programme import require_programme


def prepare_warehouse(warehouse: Warehouse, settings: Settings) -> None:
    """Check that the warehouse is that of the settings, and apply their keys and retention.

    Stored rows are hashed here if a key was added. Raises OtherProgrammeError if the settings name
    another programme, OtherTimeZoneError if they name another time zone, ForgottenKeyError and
    PseudonymKeyError without the keys of the warehouse, and BusyError if a running sync or push
    prevents the use of a new key.
    """
    require_programme(warehouse, settings)
    use_keys(warehouse, settings)
    if settings.retention_months is not None:
        limit_first_sync(warehouse, settings.retention_months, settings.zone)
