"""What has to hold of a warehouse before a command talks to the API about it."""

from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.expiration import hold_from_start
from lcm_pipeline.warehouse.pseudonymizing import use_keys
from lcm_pipeline.warehouse.source import require_source


def require_programme(warehouse: Warehouse, settings: Settings) -> None:
    """Make sure that the warehouse is that of the settings: its programme, its keys.

    What is stored is hashed here with a key that was added. Raises SourceMismatchError where the
    settings name another programme, ForgottenKeyError and PseudonymKeyError without the keys that
    the warehouse was filled with, BusyError where a sync keeps a new key from being used.
    """
    require_source(warehouse, settings)
    use_keys(warehouse, settings)
    if settings.retention_months is not None:
        hold_from_start(warehouse, settings.retention_months, settings.zone)
