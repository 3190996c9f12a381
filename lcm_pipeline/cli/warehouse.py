"""How commands open the warehouse."""

from collections.abc import Iterator
from contextlib import contextmanager

from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.migrations import migrate


@contextmanager
def migrated_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The warehouse of the settings, with its schema brought up to date first."""
    with open_warehouse(settings) as warehouse:
        migrate(warehouse)
        yield warehouse
