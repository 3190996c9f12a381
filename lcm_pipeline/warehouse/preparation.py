"""Opens the warehouse for work that calls the API: migrated, and with the keys of the settings."""

from collections.abc import Iterator
from contextlib import contextmanager

from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.clock import warn_of_other_clock
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.privacy.expiration import limit_first_sync
from lcm_pipeline.warehouse.privacy.pseudonymizing import use_keys
from lcm_pipeline.warehouse.programme import require_programme
from lcm_pipeline.warehouse.sessions import run_again_if_lost


@contextmanager
def programme_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """Open the migrated warehouse of the settings' programme; creates it if needed.

    Marts on which other users' views depend may keep the definition of an older version. Stored
    rows are hashed here if a key was added. Raises OtherProgrammeError if the warehouse holds
    another programme, OtherTimeZoneError if it holds the days of another time zone,
    ForgottenKeyError and PseudonymKeyError without its keys, and BusyError if a running sync or
    push prevents the use of a new key.
    """
    with open_warehouse(settings) as warehouse:
        # Most executors do this for each step, so a restart of the server often meets it.
        run_again_if_lost(lambda: prepare_warehouse(warehouse, settings))
        yield warehouse


def prepare_warehouse(warehouse: Warehouse, settings: Settings) -> None:
    """Migrate an open warehouse, check its programme, and apply the keys and the retention.

    Raises as `programme_warehouse` does.
    """
    migrate(warehouse, marts_may_wait=True)
    warn_of_other_clock(warehouse)
    require_programme(warehouse, settings)
    use_keys(warehouse, settings)
    if settings.retention_months is not None:
        limit_first_sync(warehouse, settings.retention_months, settings.zone)
