"""A programme that was synced once, and is synced again with mutants among its responses."""

import itertools
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.retries import RetryPolicy
from lcm_pipeline.feeds import feed_named
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.service import Service, build_service
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from tests.crash.victim import address_of
from tests.fuzz.server import Key, MutantServer, Orders
from tests.oracle import Difference, differences

START = date(2026, 1, 10)
BEFORE, AFTER = datetime(2026, 3, 8, 12), datetime(2026, 3, 9, 12)
FIRST, SECOND = Window(START, date(2026, 3, 7)), Window(date(2026, 3, 8), date(2026, 3, 8))
HASTY = RetryPolicy(
    attempts=3, throttled_attempts=3, first_wait=0.001, longest_wait=0.002,
    longest_retry_after=0.002,
)  # fmt: skip
FEED_OF_ENDPOINT = {
    "ClientInfoPeriod": "registrations",
    "OperationHistory": "operations",
    "LeadsPagingInfo": "leads",
    "ClientFavoriteDataInfo": "favourites",
}
FEED_OF_TABLE = {
    "registrations": "registrations",
    "operations": "operations",
    "leads": "leads",
    "favourite_offers": "favourites",
    "favourite_goods": "favourites",
    "favourite_groups": "favourites",
    "favourite_stats": "favourites",
}
# Every so many clients, one is healthy, because too many failures in a row rightly stop a run.
_HEALTHY_EACH = 11
_numbers = itertools.count(1)

Subject = tuple[str, int]
Rows = dict[Subject, list[str]]


@dataclass(frozen=True)
class Options:
    """The settings of a round."""

    page_length: int = 500
    api_format: str = "json"
    audit_share: float = 1.0
    concurrency: int = 64


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. key: the mutant that caused it; None: not known yet."""

    kind: str
    detail: str
    key: Key | None = None
    feed: str | None = None


@dataclass
class Played:
    """The results of a round. served: the number of responses sent, by verdict."""

    findings: list[Finding] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)
    pending: int = 0
    quarantined: int = 0
    seconds: float = 0.0
    memory_mb: int = 0

    def count(self, orders: Orders) -> None:
        """Count the responses that were sent."""
        for verdicts in orders.served.values():
            for verdict in verdicts:
                self.served[verdict.kind] = self.served.get(verdict.kind, 0) + 1


class Scene:
    """The programme, its server, and the warehouse after the first sync."""

    def __init__(
        self, postgres: str, home: Path, service: Service, server: MutantServer, base: str
    ) -> None:
        self.postgres = postgres
        self.home = home
        self.service = service
        self.server = server
        self.base = base
        self.clients = sorted(service.world.programme.customers)
        self.healthy = set(self.clients[::_HEALTHY_EACH])
        service.world.advance(AFTER)
        self.truth = service.world.truth()
        self.neighbours = dict(zip(self.clients, [*self.clients[1:], self.clients[0]], strict=True))
        known = self.warehouse(base)
        self.rows_before = rows_of(known)
        self.phones_before = phones_of(known)
        self.days_before = days_of(known)

    @property
    def mutable_clients(self) -> list[int]:
        """The clients whose responses may be mutated, in order."""
        return [client for client in self.clients if client not in self.healthy]

    @property
    def mutable_days(self) -> list[str]:
        """The registration days whose responses may be mutated: every second one."""
        days = [str(day) for day in Window(FIRST.first, SECOND.last).days()]
        return days[1::2]

    def warehouse(self, database: str) -> Warehouse:
        """A database of the scene."""
        return Warehouse(address_of(self.postgres, database))

    @contextmanager
    def clone(self) -> Iterator[str]:
        """Clone the warehouse after the first sync; yields the name of the database."""
        name = f"fuzz_{os.getpid()}_{next(_numbers)}"
        statement = "create database {} template {} strategy file_copy"
        _administer(self.postgres, statement, name, self.base)
        try:
            yield name
        finally:
            _administer(self.postgres, "drop database {} with (force)", name)

    def settings(self, database: str, options: Options, **changes: Any) -> Settings:
        """Settings for a database of the scene."""
        return _settings_for(
            self.server.url, self.warehouse(database), self.home, options, **changes
        )


def hasty(settings: Settings) -> LoyaltyApi:
    """A client of the API that does not wait between attempts."""
    return LoyaltyApi.from_settings(settings, policy=HASTY)


def failure_of(error: Exception, feed: str) -> Finding:
    """A finding for an exception that reached the caller, with its innermost line of our code."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    frames = traceback.extract_tb(cause.__traceback__)
    ours = [frame for frame in frames if "lcm_pipeline" in frame.filename]
    at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    detail = f"{type(error).__name__} from {type(cause).__name__} at {at}: {str(error)[:300]}"
    return Finding(f"{feed} failed", detail, feed=feed)


def differences_from(truth: Any, warehouse: Warehouse) -> list[Difference | str]:
    """The rows that differ from the truth, or a text if a row is live on two days."""
    try:
        return list(differences(truth, warehouse, last=SECOND.last))
    except AssertionError as doubled:
        return [str(doubled)]


def phones_of(warehouse: Warehouse) -> dict[int, Any]:
    """The phone of each client."""
    with warehouse.connect() as session:
        return dict(session.execute("select client_id, phone from core.clients").fetchall())


def days_of(warehouse: Warehouse) -> dict[str, list[str]]:
    """All registrations of each day as text, including deleted ones."""
    found: dict[str, list[str]] = {}
    with warehouse.connect() as session:
        for day, text in session.execute(
            "select registration_date, stored::text from core.registrations as stored order by 1, 2"
        ):
            found.setdefault(str(day), []).append(text)
    return found


def rows_of(warehouse: Warehouse) -> Rows:
    """All rows of each client and feed as text, including deleted ones."""
    found: Rows = {}
    with warehouse.connect() as session:
        for table, feed in FEED_OF_TABLE.items():
            statement = SQL("select client_id, stored::text from core.{} as stored order by 1, 2")
            for client, text in session.execute(statement.format(Identifier(table))):
                found.setdefault((feed, client), []).append(f"{table} {text}")
    return found


def _settings_for(
    url: str, warehouse: Warehouse, home: Path, options: Options, **changes: Any
) -> Settings:
    fields: dict[str, Any] = {
        "api_url": url,
        "database_url": warehouse.url,
        "home": home,
        "timeout": 20.0,
        "start_date": START,
        "lookback_days": 0,
        "delete_fuse": 1.0,
        "max_answer_mb": 8,
        **vars(options),
        **changes,
    }
    known = {name: value for name, value in fields.items() if name in Settings.model_fields}
    # Ignore the environment and a .env file of the checkout.
    return load_settings(_env_file=None, _env_prefix="LCM_FUZZ_", **known)


@contextmanager
def open_scene(postgres: str, home: Path, *, clients: int = 220) -> Iterator[Scene]:
    """Make the programme, and sync its first weeks."""
    config = build_config(
        start=START, now=BEFORE, clients=clients, seed=20260301,
        habits=("visits_daily=0.05", "leads_daily=0.05", "offers_daily=0.05"),
    )  # fmt: skip
    service = build_service(config)
    base = f"fuzz_base_{os.getpid()}_{next(_numbers)}"
    with MutantServer(service) as server:
        _administer(postgres, "create database {}", base)
        try:
            warehouse = Warehouse(address_of(postgres, base))
            migrate(warehouse)
            settings = _settings_for(server.url, warehouse, home, Options(), lookback_days=60)
            engine = SyncEngine(settings, warehouse)
            for feed in FEED_OF_ENDPOINT.values():
                engine.sync(feed_named(feed), FIRST)
            refresh_marts(warehouse)
            found = differences(service.world.truth(), warehouse, last=FIRST.last)
            assert not found, f"the first sync is not exact: {found[:3]}"
            yield Scene(postgres, home, service, server, base)
        finally:
            _administer(postgres, "drop database {} with (force)", base)


def _administer(postgres: str, statement: str, *names: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as session:
        session.execute(SQL(statement).format(*map(Identifier, names)))
