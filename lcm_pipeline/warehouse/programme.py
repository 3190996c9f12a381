"""Checks that a warehouse belongs to the settings, before a command calls the API for it."""

from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.privacy.expiration import limit_first_sync
from lcm_pipeline.warehouse.privacy.pseudonymizing import use_keys
from lcm_pipeline.warehouse.source import require_source


def require_programme(warehouse: Warehouse, settings: Settings) -> None:
    """Check that the warehouse holds the programme of the settings, hashed with their keys.

    Stored rows are hashed here if a key was added. Raises SourceMismatchError if the settings name
    another programme, ForgottenKeyError and PseudonymKeyError without the keys of the warehouse,
    and BusyError if a running sync or push prevents the use of a new key.
    """
    require_source(warehouse, settings)
    use_keys(warehouse, settings)
    if settings.retention_months is not None:
        limit_first_sync(warehouse, settings.retention_months, settings.zone)
