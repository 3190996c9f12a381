"""How commands open the warehouse."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lcm_pipeline.settings import Settings
    from lcm_pipeline.warehouse.connection import Warehouse


@contextmanager
def migrated_warehouse(settings: "Settings") -> Iterator["Warehouse"]:
    """The warehouse of the settings, with its schema brought up to date first."""
    from lcm_pipeline.warehouse.connection import open_warehouse
    from lcm_pipeline.warehouse.migrations import migrate

    with open_warehouse(settings) as warehouse:
        migrate(warehouse)
        yield warehouse
