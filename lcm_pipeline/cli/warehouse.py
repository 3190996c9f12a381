"""How commands open the warehouse."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse, require_existing
from lcm_pipeline.warehouse.errors import NothingSyncedError
from lcm_pipeline.warehouse.ingest.state import load_forgotten
from lcm_pipeline.warehouse.migrations import migrate, require_some_schema
from lcm_pipeline.warehouse.source import require_source


@contextmanager
def migrated_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The warehouse of the settings, made where there is none, with its schema up to date.

    Marts that views of others read may stay those of an older version.
    """
    with open_warehouse(settings) as warehouse:
        migrate(warehouse, marts_may_wait=True)
        yield warehouse


@contextmanager
def programme_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The same, for commands that talk to the API: that of the programme that it holds.

    Raises SourceMismatchError where the settings name another one, ForgottenKeyError without the
    key that keeps erased persons from coming back.
    """
    with migrated_warehouse(settings) as warehouse:
        require_source(warehouse, settings)
        with warehouse.connect(application_name="lcm forgotten") as session:
            load_forgotten(session, settings.pseudonym_key_bytes)
        yield warehouse


@contextmanager
def existing_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The warehouse of the settings with its schema up to date, for commands that read it.

    Raises NothingSyncedError where there is none: a command in the wrong folder makes no new one.
    """
    require_existing(settings)
    with open_warehouse(settings) as warehouse:
        require_some_schema(warehouse)
        migrate(warehouse)
        yield warehouse


@contextmanager
def warehouse_or_empty(settings: Settings) -> Iterator[Warehouse]:
    """The warehouse of the settings; before the first sync an empty one that is removed again.

    For what one asks for before anything is there, and must leave nothing behind: a plan, and what
    is made of the schema alone.
    """
    with ExitStack() as stack:
        try:
            require_existing(settings)
        except NothingSyncedError:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lcm-plan-"))
            settings = settings.model_copy(update={"home": Path(folder)})
        yield stack.enter_context(migrated_warehouse(settings))
