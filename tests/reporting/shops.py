"""A programme of two clients that advances day by day, with its syncs and reports."""

from datetime import date, datetime
from pathlib import Path

from lcm_pipeline.feeds import OPERATIONS, REGISTRATIONS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.reporting.reports import Report, make_report
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.customers import Entry
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.marts.author import Author
from tests.reporting.reading_pages import Page
from tests.syncing import sync_everything

START, SECOND, THIRD = date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)
CLIENT, OTHER = 7, 8


class Shop:
    """Two clients, each with one purchase a day; advances day by day."""

    def __init__(self, simulator: RunningSimulator, warehouse: Warehouse, home: Path) -> None:
        self.simulator, self.warehouse = simulator, warehouse
        self.settings = load_settings(
            home=home, api_url=simulator.url, database_url=warehouse.url, delete_fuse=1,
            max_attempts=1,
        )  # fmt: skip
        self.author = Author(simulator)
        self.client = self.author.client(CLIENT, "2026-03-01T09:00:00", [{"Card": 1}])
        self.other = self.author.client(OTHER, "2026-03-01T09:00:00", [{"Card": 2}])
        self.cheques: list[Entry] = []

    def sync(self, day: date) -> None:
        """Advance through a day and sync it on the next morning."""
        self._advance(day)
        sync_everything(self.settings, self.warehouse, Window(day, day))
        refresh_marts(self.warehouse)

    def sync_operations(self, day: date) -> None:
        """Sync the roster and the operations of a day, and nothing else."""
        self._advance(day)
        engine = SyncEngine(self.settings, self.warehouse)
        engine.sync(REGISTRATIONS, Window(day, day))
        engine.sync(OPERATIONS, Window(day, day))
        refresh_marts(self.warehouse)

    def sync_registrations(self, day: date) -> None:
        """Sync the roster of a day, and nothing else."""
        self._advance(day)
        SyncEngine(self.settings, self.warehouse).sync(REGISTRATIONS, Window(day, day))
        refresh_marts(self.warehouse)

    def report(self, day: date | None = None) -> tuple[Report, Page]:
        """The report, and its page."""
        report = make_report(self.warehouse, day, "en")
        return report, Page(report.html)

    def _advance(self, day: date) -> None:
        """Advance through a day: each client buys for 100 times the day of the month."""
        for client in (self.client, self.other):
            number = 501 + len(self.cheques)
            moment, amount = f"{day}T10:00:00", f"{day.day}00.00"
            self.cheques.append(self.author.cheque(client, number, moment, amount))
        self.simulator.world.advance(datetime(day.year, day.month, day.day + 1, 6))
