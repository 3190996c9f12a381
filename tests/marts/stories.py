"""Stories: days of a programme pass and are synced, and rows are dated by its clock."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lcm_pipeline.feeds import CLIENT_FEEDS, Feed
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.verify.repair import read_clients_again
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from tests.marts.author import Author
from tests.marts.stamping import STAMPS, stamp
from tests.marts.worlds import sync_facts

START = date(2026, 3, 1)


class Story:
    """A programme whose days pass, and a warehouse whose rows are dated by its clock."""

    def __init__(self, simulator: RunningSimulator, warehouse: Warehouse, home: Path) -> None:
        self.simulator, self.warehouse, self._home = simulator, warehouse, home
        self.author = Author(simulator)

    def sync_day(self, last: date) -> None:
        """Sync at six on the next morning, and backdate the written rows to that time."""
        morning = datetime(last.year, last.month, last.day, 6) + timedelta(days=1)
        self.simulator.world.advance(morning)
        began = datetime.now(UTC)
        sync_facts(self.simulator, self.warehouse, self._home, START, last)
        self._stamp(began, (morning - timedelta(hours=3)).replace(tzinfo=UTC))

    def read_again(self, client_id: int, moment: datetime) -> None:
        """Read one client again, as `lcm verify --fix` and `lcm sync --client` do."""
        began = datetime.now(UTC)
        read_clients_again(self._engine, CLIENT_FEEDS, [client_id])
        self._stamp(began, moment)

    def sync_earlier(self, last: date, moment: datetime) -> None:
        """Sync days that are known already, as a backfill does."""
        began = datetime.now(UTC)
        sync_facts(self.simulator, self.warehouse, self._home, START, last)
        self._stamp(began, moment)

    @property
    def _engine(self) -> SyncEngine:
        settings = load_settings(
            home=self._home, api_url=self.simulator.url, database_url=self.warehouse.url
        )
        return SyncEngine(settings, self.warehouse)

    def sync_one(self, feed: Feed, last: date) -> None:
        """Sync one feed for a day, and nothing else."""
        self.simulator.world.advance(
            datetime(last.year, last.month, last.day, 6) + timedelta(days=1)
        )
        self._engine.sync(feed, Window(last, last))
        refresh_marts(self.warehouse)

    def _stamp(self, began: datetime, moment: datetime) -> None:
        month = moment.date().replace(day=1)
        stamp(self.warehouse, STAMPS, began, moment=moment, month=month)
        refresh_marts(self.warehouse, everything=True)
