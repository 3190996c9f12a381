"""How commands open the warehouse."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse, require_existing
from lcm_pipeline.warehouse.errors import NothingSyncedError
from lcm_pipeline.warehouse.migrations import (
    migrate,
    require_current_schema,
    require_some_schema,
)


@contextmanager
def existing_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """Open the warehouse of the settings with its schema up to date, for commands that read it.

    Raises NothingSyncedError if there is none, so that a command in the wrong folder creates none.
    """
    require_existing(settings)
    with open_warehouse(settings) as warehouse:
        require_some_schema(warehouse)
        migrate(warehouse)
        yield warehouse


@contextmanager
def warehouse_or_empty(settings: Settings, *, migrates: bool = True) -> Iterator[Warehouse]:
    """Open the warehouse of the settings; before the first sync, a temporary empty one.

    For commands that work before the first sync and must leave nothing behind: a plan, and files
    that are generated from the schema only. migrates: bring the warehouse up to date; if not, a
    login that may only read suffices, also on a standby, and an older schema is refused.
    """
    with ExitStack() as stack:
        try:
            require_existing(settings)
            opened = open_warehouse(settings, is_read_only=not migrates)
            warehouse = stack.enter_context(opened)
            if migrates:
                require_some_schema(warehouse)
            else:
                with warehouse.connect() as session:
                    require_current_schema(session, warehouse)
        except NothingSyncedError:
            stack.close()
            migrates = True
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lcm-plan-"))
            empty = {"home": Path(folder), "database_url": None}
            opened = open_warehouse(settings.model_copy(update=empty))
            warehouse = stack.enter_context(opened)
        if migrates:
            # Views of others may depend on marts: those keep the definition of an older version.
            migrate(warehouse, marts_may_wait=True)
        yield warehouse
