"""How a run reaches the sync engine: settings, an open warehouse and the engine, for its length.

Nothing is read or opened before a run begins, so the definitions load on a machine that has no
settings yet. The surprising fact: this is no ConfigurableResource, because there is nothing to
configure in Dagster. Every setting comes from LCM_*, and none of them reaches the event log.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import dagster as dg
import pandas as pd

from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.reconcile import preview
from lcm_pipeline.sync.reports import SyncReport
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.dictionary import DescribedColumn, describe
from lcm_pipeline.warehouse.migrations import migrate

# Runs that take from this pool wait for each other, see dagster.yaml.
POOL = "loyalty_api"


@dataclass(frozen=True)
class SyncSession:
    """The engine during one run. It remembers the reports and the errors for who started the run.

    The errors are kept because Dagster hands back only their text.
    """

    engine: SyncEngine
    reports: list[SyncReport] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    @property
    def warehouse(self) -> Warehouse:
        """What the checks read."""
        return self.engine.warehouse

    @cached_property
    def described(self) -> list[DescribedColumn]:
        """What the database says of its columns, asked once in a run."""
        return describe(self.warehouse)

    def sync_registrations(self, window: Window) -> SyncReport:
        """Sync who registered."""
        return self._remember(self.engine.sync_registrations, window)

    def sync_operations(self, window: Window) -> SyncReport:
        """Sync the operations."""
        return self._remember(self.engine.sync_operations, window)

    def sync_leads(self, window: Window) -> SyncReport:
        """Sync the leads."""
        return self._remember(self.engine.sync_leads, window)

    def sync_favourites(self, window: Window) -> SyncReport:
        """Sync the favourite products, all four tables."""
        return self._remember(self.engine.sync_favourites, window)

    def preview(self, table: str, window: Window) -> pd.DataFrame:
        """A few rows of a core table, without personal data."""
        return preview(self.warehouse, table, window)

    def _remember(self, sync: Callable[[Window], SyncReport], window: Window) -> SyncReport:
        try:
            report = sync(window)
        except BaseException as error:
            self.errors.append(error)
            raise
        self.reports.append(report)
        return report


@dg.resource(description="The sync engine with an open, migrated warehouse, for one run.")
def sync_session(_context: dg.InitResourceContext) -> Iterator[SyncSession]:
    """Open the warehouse of the settings for the length of a run."""
    settings = load_settings()
    settings.required_api_url()
    with open_warehouse(settings) as warehouse:
        migrate(warehouse)
        yield SyncSession(SyncEngine(settings, warehouse))
