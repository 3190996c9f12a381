"""Which readings were requested again, although their results had been stored.

A reading is a client of an endpoint, or a day of registrations. It was requested again if all
attempts at one command together sent more requests for it than a clean run does.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from tests.syncing import MARCH

RequestCounts = Counter[tuple[str, str]]

_FEEDS = {feed.endpoint.name: feed for feed in FEEDS}
_UNFINISHED = "select feed from sync.runs where status = 'reading' group by feed"
_COMMANDS = "select from sync.commands where status = 'running'"


def requests_since(simulator: RunningSimulator) -> RequestCounts:
    """The number of requests since the last call, by feed and reading."""
    recent: Iterable[dict[str, Any]] = simulator.service.traffic.recent()
    simulator.service.traffic.reset()
    return Counter((_FEEDS[one["Endpoint"]].name, _reading_of(one)) for one in recent)


def requests_of_clean_sync(
    simulator: RunningSimulator, settings: Settings, warehouse: Warehouse
) -> RequestCounts:
    """Sync March into an empty warehouse, undisturbed; returns the requests that it took."""
    requests_since(simulator)
    engine = SyncEngine(settings, warehouse)
    command = engine.begin_command(FEEDS, MARCH)
    for feed in FEEDS:
        engine.sync(feed, MARCH, command_id=command)
    return requests_since(simulator)


def repeated_readings(clean: RequestCounts, requests: RequestCounts) -> list[tuple[str, str]]:
    """The readings that took more requests than an undisturbed sync needs for them."""
    return [reading for reading, times in requests.items() if times > clean[reading]]


def unfinished_feeds(warehouse: Warehouse) -> set[str]:
    """The feeds with a run that was begun and not closed."""
    with warehouse.connect() as session:
        return {row[0] for row in session.execute(_UNFINISHED).fetchall()}


def is_command_over(warehouse: Warehouse) -> bool:
    """Whether each feed of the command is published."""
    with warehouse.connect() as session:
        return not session.execute(_COMMANDS).fetchall()


@dataclass
class RepeatCounter:
    """Adds up the requests of all attempts at the same command."""

    clean: RequestCounts
    _so_far: dict[str, RequestCounts] = field(default_factory=dict)
    _known: Counter[str] = field(default_factory=Counter)
    _crashed: set[str] = field(default_factory=set)

    def add(
        self, requests: RequestCounts, *, unfinished: set[str], is_over: bool, after_crash: bool
    ) -> tuple[int, int]:
        """Count an attempt; returns how many more readings it requested again.

        The second number counts those of runs during which the server crashed.
        """
        more = [0, 0]
        if after_crash:
            # The crash emptied the staging of every unfinished run, not only of this attempt's.
            self._crashed |= unfinished
        for feed in {feed for feed, _ in requests}:
            total = self._so_far.setdefault(feed, Counter())
            total.update({key: n for key, n in requests.items() if key[0] == feed})
            again = sum(n > self.clean[key] for key, n in total.items())
            if after_crash:
                self._crashed.add(feed)
            more[feed in self._crashed] += max(0, again - self._known[feed])
            self._known[feed] = again
        if is_over:
            self._so_far.clear()
            self._known.clear()
            self._crashed.clear()
        return more[0], more[1]


def _reading_of(request: dict[str, Any]) -> str:
    if "Client" in request and not _FEEDS[request["Endpoint"]].is_by_day:
        return str(request["Client"])
    return " ".join(str(request[name]) for name in sorted(request) if "Date" in name)
