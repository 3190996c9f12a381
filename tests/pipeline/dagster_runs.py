"""What the tests of Dagster share: an engine that follows a script, and a progress for nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from lcm_pipeline.model.windows import Window
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.reports import SyncReport

TABLES = (
    "clients",
    "operations",
    "leads",
    "favourite_offers",
    "favourite_goods",
    "favourite_groups",
    "favourite_stats",
)


def days(first: str, last: str | None = None) -> Window:
    return Window(date.fromisoformat(first), date.fromisoformat(last or first))


@dataclass(frozen=True)
class ScriptedEngine(SyncEngine):
    """Reports without reading anything; `script` is called with each feed first."""

    script: Callable[[str], None] = lambda feed: None

    def sync_registrations(self, window: Window) -> SyncReport:
        return self._report("registrations", window)

    def sync_operations(self, window: Window) -> SyncReport:
        return self._report("operations", window)

    def sync_leads(self, window: Window) -> SyncReport:
        return self._report("leads", window)

    def sync_favourites(self, window: Window) -> SyncReport:
        return self._report("favourites", window)

    def _report(self, feed: str, window: Window) -> SyncReport:
        self.script(feed)
        return SyncReport(feed, window, 10, 0, 20, 15, 1, 0, 12, 2, 0.5, False)


class Silence:
    """A progress that nobody watches."""

    def start(self, feed: str, total: int, done: int) -> None:
        pass

    def advance(self, feed: str, count: int) -> None:
        pass

    def finish(self, feed: str) -> None:
        pass
